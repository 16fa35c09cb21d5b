import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { type ChosenProfiles, chooseProfiles, type NetworkChoice } from './choose-profiles.ts';
import { collectNetworks } from './collect.ts';
import { parseKeyfile, plainValue } from './keyfile.ts';

const all: NetworkChoice = { allWifis: true, wifis: [], wired: true, proxy: true };
const eth0 = { '/sys/class/net/eth0/device/uevent': '', '/sys/class/net/eth0/address': '02:00:00:00:00:01\n' };
const eth1 = { '/sys/class/net/eth1/device/uevent': '', '/sys/class/net/eth1/address': '02:00:00:00:00:03\n' };
const wlan0 = {
  '/sys/class/net/wlan0/device/uevent': '',
  '/sys/class/net/wlan0/wireless/x': '',
  '/sys/class/net/wlan0/address': '02:00:00:00:00:02\n',
};
const authority = { '/etc/ssl/ca.pem': 'CERTIFICATE' };
const inside = 'data:;base64,Q0VSVElGSUNBVEU=';

async function choose(files: Record<string, string>, choice: Partial<NetworkChoice> = {}): Promise<ChosenProfiles> {
  const host = createMemoryHost({ files: { ...eth0, ...wlan0, ...authority, ...files } });
  return chooseProfiles(await collectNetworks(host), { ...all, ...choice });
}

/** Settings of a keyfile as "section.key" → plain value, without the UUID. */
function settingsOf(keyfile: string): Record<string, string> {
  const entries = (parseKeyfile(keyfile) ?? []).flatMap(({ name, settings }) =>
    settings.map(([key, value]) => [`${name}.${key}`, plainValue(value)] as const),
  );
  return Object.fromEntries(entries.filter(([key]) => key !== 'connection.uuid'));
}

const wiredFile = '/etc/wpa_supplicant/wpa_supplicant-wired-eth0.conf';
const wired = (more = ''): string => `ctrl_interface=/run/wpa_supplicant
ap_scan=0
network={
  key_mgmt=IEEE8021X
  eap=PEAP
  identity="user"
  password="canary-secret"
  phase2="auth=MSCHAPV2"
  ca_cert="/etc/ssl/ca.pem"
  eapol_flags=0
${more}}
`;
const netplan = (auth: string): string =>
  `network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [10.0.0.5/16]\n      auth: ${auth}\n`;
const netplanPeap =
  '{key-management: 802.1x, method: peap, identity: user, password: canary-secret, phase2-auth: MSCHAPV2, ca-certificate: /etc/ssl/ca.pem}';
const expected = {
  'connection.id': 'ethernet eth0',
  'connection.type': 'ethernet',
  'ethernet.mac-address': '02:00:00:00:00:01',
  '802-1x.eap': 'peap;',
  '802-1x.identity': 'user',
  '802-1x.password': 'canary-secret',
  '802-1x.phase2-auth': 'mschapv2',
  '802-1x.ca-cert': inside,
};
const automaticIp = { 'ipv4.method': 'auto', 'ipv6.method': 'auto' };
const fixedIp = { 'ipv4.method': 'manual', 'ipv4.address1': '10.0.0.5/16', 'ipv6.method': 'auto' };

describe('wired 802.1X', () => {
  it.each([
    ['wpa_supplicant', { [wiredFile]: wired() }, automaticIp],
    ['a file of wpa_supplicant for the only wired interface', { '/etc/wpa_supplicant/any.conf': wired() }, automaticIp],
    [
      'wpa_supplicant, with addresses of ifupdown',
      { [wiredFile]: wired(), '/etc/network/interfaces': 'iface eth0 inet static\n  address 10.0.0.5/16\n' },
      fixedIp,
    ],
    [
      'wpa_supplicant, with addresses that stand after a file for all interfaces',
      {
        [wiredFile]: wired(),
        '/etc/systemd/network/10.network': '[Match]\nName=*\n[Network]\nDHCP=yes\n',
        '/etc/systemd/network/20.network': '[Match]\nName=eth0\n[Network]\nAddress=10.0.0.5/16\n',
      },
      fixedIp,
    ],
    ['netplan', { '/etc/netplan/a.yaml': netplan(netplanPeap) }, fixedIp],
  ])('moves from %s with its certificates inside, bound to the MAC', async (_, files: Record<string, string>, ip) => {
    const { profiles, notCarried } = await choose(files);
    expect(profiles.map(({ keyfile }) => settingsOf(keyfile.reveal()))).toEqual([{ ...expected, ...ip }]);
    expect(notCarried).toEqual([]);
    expect(JSON.stringify(profiles)).not.toContain('canary-secret');
    expect((await choose(files, { wired: false })).profiles).toEqual([]);
  });

  const native = `[connection]
id=office
type=ethernet
interface-name=eth0

[802-1x]
eap=tls;
identity=host/device
ca-cert=/etc/ssl/ca.pem
client-cert=file:///etc/ssl/device.pem
private-key=/etc/ssl/device.key
private-key-password=canary-secret
`;
  const nativePath = '/etc/NetworkManager/system-connections/office.nmconnection';
  const device = { '/etc/ssl/device.pem': 'CERTIFICATE', '/etc/ssl/device.key': 'CERTIFICATE' };

  it('moves from NetworkManager with its certificates inside, bound to the MAC', async () => {
    const { profiles } = await choose({ [nativePath]: native, ...device });
    expect(profiles.map(({ keyfile }) => settingsOf(keyfile.reveal()))).toEqual([
      {
        'connection.id': 'office',
        'connection.type': 'ethernet',
        'ethernet.mac-address': '02:00:00:00:00:01',
        '802-1x.eap': 'tls;',
        '802-1x.identity': 'host/device',
        '802-1x.ca-cert': inside,
        '802-1x.client-cert': inside,
        '802-1x.private-key': inside,
        '802-1x.private-key-password': 'canary-secret',
      },
    ]);
  });

  const nativePeap = native.replace('eap=tls;', 'eap=peap;');
  it.each([
    ['is disabled', { [wiredFile]: wired('disabled=1\n') }, 'it is disabled'],
    ['needs MACsec', { [wiredFile]: wired('macsec_policy=1\n') }, 'MACsec is not taken over'],
    ['has a hashed password', { [wiredFile]: wired('password=hash:00\n') }, 'its password is stored as a hash only'],
    ['names no method', { '/etc/netplan/a.yaml': netplan('{key-management: 802.1x}') }, 'it names no EAP method'],
    [
      'has a key management of its own',
      { '/etc/netplan/a.yaml': netplan('{key-management: psk, password: canary-secret}') },
      'its key management "psk" is not taken over',
    ],
    [
      'lacks a certificate',
      { [wiredFile]: wired('ca_cert="/etc/missing.pem"\n') },
      'its certificate /etc/missing.pem cannot be read',
    ],
    [
      'is for an interface that is not there',
      { '/etc/wpa_supplicant/wpa_supplicant-wired-eth7.conf': wired() },
      'there is no such wired interface',
    ],
    [
      'might be for several interfaces',
      { ...eth1, '/etc/wpa_supplicant/any.conf': wired() },
      'it does not say for which interface it is',
    ],
    [
      'stands in ifupdown',
      { '/etc/network/interfaces': 'iface eth0 inet dhcp\n  wpa-key-mgmt IEEE8021X\n  wpa-password canary-secret\n' },
      '802.1X is not taken over from this file',
    ],
    [
      'has its password with a user',
      { [nativePath]: `${nativePeap}password-flags=1\n`, ...device },
      'its password is not in the file but with a user',
    ],
    [
      'has the password of its key with a user',
      { [nativePath]: native.replace(/private-key-password=.*/, 'private-key-password-flags=1'), ...device },
      'the password of its private key is not in the file but with a user',
    ],
    [
      'needs a PAC file',
      { [nativePath]: `${nativePeap.replace('peap', 'fast')}password=x\npac-file=/etc/pac\n`, ...device },
      'PAC files of EAP-FAST are not taken over',
    ],
    ['lacks its key', { [nativePath]: native }, 'its certificate /etc/ssl/device.pem cannot be read'],
  ])('that %s stays behind by name', async (_, files: Record<string, string>, reason) => {
    const { profiles, notCarried } = await choose(files);
    expect(notCarried.map((item) => item.reason)).toContain(reason);
    expect(notCarried.every(({ medium }) => medium === 'wired')).toBe(true);
    for (const { keyfile } of profiles) expect(keyfile.reveal()).not.toContain('[802-1x]');
    expect(JSON.stringify([profiles, notCarried])).not.toContain('canary-secret');
    expect((await choose(files, { wired: false })).notCarried).toEqual([]);
  });

  it('keeps any identity and password', async () => {
    const text = fc.stringMatching(/^[ -~]{1,40}$/);
    await fc.assert(
      fc.asyncProperty(text, text, async (identity, password) => {
        const auth = JSON.stringify({ method: 'ttls', identity, password });
        const { profiles } = await choose({ '/etc/netplan/a.yaml': netplan(auth) });
        const settings = settingsOf(profiles[0]?.keyfile.reveal() ?? '');
        expect(settings).toMatchObject({ '802-1x.identity': identity, '802-1x.password': password });
      }),
      { numRuns: 200 },
    );
  });
});
