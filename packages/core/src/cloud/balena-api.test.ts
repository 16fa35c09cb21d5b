import { expect, test } from 'vitest';
import { imageAddress, isFlasherContract } from './balena-api.ts';
import { pingAddress } from './check-cloud.ts';

test.each([
  [{ defaultBoot: 'internal', altBoot: ['sdcard'] }, undefined, true],
  [{ defaultBoot: 'internal', altBoot: ['sdcard'] }, null, true],
  [{ defaultBoot: 'internal', altBoot: ['sdcard'] }, 'RPIBOOT', false],
  [{ defaultBoot: 'internal', altBoot: [] }, undefined, false],
  [{ defaultBoot: 'internal' }, undefined, false],
  [{ defaultBoot: 'sdcard', altBoot: ['x'] }, undefined, false],
  [undefined, undefined, false],
])('media %j with flash protocol %s: flasher %s', (media, flashProtocol, isFlasher) => {
  expect(isFlasherContract({ data: { media, flashProtocol } })).toBe(isFlasher);
});

test('what is no contract is none of a flasher', () => {
  for (const contract of [undefined, null, 'x', {}, { data: 1 }]) expect(isFlasherContract(contract)).toBe(false);
});

test('addresses keep what versions and settings say', () => {
  expect(imageAddress('https://a', { deviceType: 'x', version: '1.2.3+rev1', wantsRaw: true })).toBe(
    'https://a/download?deviceType=x&version=1.2.3%2Brev1&fileType=.gz&imageType=raw',
  );
  const endpoint = 'https://api.example.com:8443';
  expect(pingAddress(endpoint, {})).toBe('https://api.example.com:8443/ping');
  expect(pingAddress(endpoint, { port: 1 })).toBe('https://api.example.com:1/ping');
  expect(pingAddress(endpoint, { host: 'other' })).toBe('https://other:443/ping');
});
