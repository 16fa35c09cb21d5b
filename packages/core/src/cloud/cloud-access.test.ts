import { expect, test } from 'vitest';
import { parseCloudAccess } from './cloud-access.ts';

const file = (more: object = {}): string =>
  JSON.stringify({
    apiEndpoint: 'https://api.example.com:8443/',
    deviceType: 'intel-nuc',
    applicationId: 1,
    apiKey: 'canary-provisioning',
    ...more,
  });

test('the key is that of the device where it is registered, else that of the fleet; neither is printed', () => {
  const access = parseCloudAccess(file(), 'config.json');
  expect(access).toMatchObject({ apiEndpoint: 'https://api.example.com:8443', deviceType: 'intel-nuc' });
  expect(access.key.reveal()).toBe('canary-provisioning');
  expect(access).not.toHaveProperty('uuid');
  const registered = parseCloudAccess(file({ uuid: 'ab'.repeat(16), deviceApiKey: 'canary-device' }), 'config.json');
  expect(registered.uuid).toBe('ab'.repeat(16));
  expect(registered.key.reveal()).toBe('canary-device');
  expect(JSON.stringify([access, registered])).not.toContain('canary');
});

test('the VPN is taken with its port, 443 where that is none', () => {
  const vpnOf = (more: object) => parseCloudAccess(file({ vpnEndpoint: 'vpn.example.com', ...more }), 'c').vpn;
  expect(vpnOf({ vpnPort: '1194' })).toEqual({ host: 'vpn.example.com', port: 1194 });
  for (const vpnPort of [undefined, 'x', 0, 70_000]) expect(vpnOf({ vpnPort })?.port).toBe(443);
  expect(parseCloudAccess(file(), 'c')).not.toHaveProperty('vpn');
});

test.each([
  ['a key that cannot be a header', { apiKey: 'canary\r\nx: y' }, 'unsupported'],
  ['an authority that is none', { balenaRootCA: 'canary' }, 'unsupported'],
  ['no endpoint', { apiEndpoint: undefined }, 'invalid-input'],
])('%s is refused without being shown', (_, more, code) => {
  let thrown: unknown;
  try {
    parseCloudAccess(file(more), 'config.json');
  } catch (caught) {
    thrown = caught;
  }
  expect(thrown).toMatchObject({ code, message: expect.stringMatching(/^config\.json: /) });
  expect(String(thrown)).not.toContain('canary');
});
