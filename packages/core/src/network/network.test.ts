import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { type ChosenProfiles, chooseProfiles, type NetworkChoice } from './choose-profiles.ts';
import { collectNetworks } from './collect.ts';
import { escapeValue, parseKeyfile, parseSsidValue, plainValue, ssidValue } from './keyfile.ts';

const all: NetworkChoice = { allWifis: true, wifis: [], wired: true, proxy: true };
const hardware = {
  '/sys/class/net/eth0/device/uevent': '',
  '/sys/class/net/eth0/address': '02:00:00:00:00:01\n',
  '/sys/class/net/wlan0/device/uevent': '',
  '/sys/class/net/wlan0/wireless/x': '',
  '/sys/class/net/wlan0/address': '02:00:00:00:00:02\n',
  '/sys/class/net/lo/address': '00:00:00:00:00:00\n',
};

async function choose(files: Record<string, string>, choice: Partial<NetworkChoice> = {}): Promise<ChosenProfiles> {
  const host = createMemoryHost({ files: { ...hardware, ...files } });
  return chooseProfiles(await collectNetworks(host), { ...all, ...choice });
}

/** Settings of a keyfile as "section.key" → plain value, without the UUID. */
function settingsOf(keyfile: string): Record<string, string> {
  const sections = parseKeyfile(keyfile) ?? [];
  const entries = sections.flatMap(({ name, settings }) =>
    settings.map(([key, value]) => [`${name}.${key}`, plainValue(value)] as const),
  );
  return Object.fromEntries(entries.filter(([key]) => key !== 'connection.uuid'));
}

async function settings(files: Record<string, string>, choice: Partial<NetworkChoice> = {}) {
  return (await choose(files, choice)).profiles.map(({ keyfile }) => settingsOf(keyfile.reveal()));
}

const wpa = '/etc/wpa_supplicant/wpa_supplicant.conf';
const automaticIp = { 'ipv4.method': 'auto', 'ipv6.method': 'auto' };

describe('wpa_supplicant', () => {
  it('gives one keyfile a network', async () => {
    const text = `ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev
update_config=1
country=DE

network={
	ssid="Home # 1"
	psk="pass \\"phrase\\" # not a comment" # a comment
	scan_ssid=1
	priority=5
}
# network={ ssid="off" }
network={
    ssid=c3a4
    psk=${'ab'.repeat(32)}
    key_mgmt=WPA-PSK
}
network={
    ssid="open one"
    key_mgmt=NONE
}
network={
    ssid="new"
    sae_password="x"
    key_mgmt=SAE
}
`;
    expect(await settings({ [wpa]: text })).toEqual([
      {
        'connection.id': 'Home # 1',
        'connection.type': 'wifi',
        'connection.autoconnect-priority': '5',
        'wifi.mode': 'infrastructure',
        'wifi.ssid': '72;111;109;101;32;35;32;49;',
        'wifi.hidden': 'true',
        'wifi-security.key-mgmt': 'wpa-psk',
        'wifi-security.psk': 'pass \\"phrase\\" # not a comment',
        ...automaticIp,
      },
      {
        'connection.id': 'wifi c3a4',
        'connection.type': 'wifi',
        'wifi.mode': 'infrastructure',
        'wifi.ssid': '195;164;',
        'wifi-security.key-mgmt': 'wpa-psk',
        'wifi-security.psk': 'ab'.repeat(32),
        ...automaticIp,
      },
      {
        'connection.id': 'open one',
        'connection.type': 'wifi',
        'wifi.mode': 'infrastructure',
        'wifi.ssid': 'open one',
        ...automaticIp,
      },
      {
        'connection.id': 'new',
        'connection.type': 'wifi',
        'wifi.mode': 'infrastructure',
        'wifi.ssid': 'new',
        'wifi-security.key-mgmt': 'sae',
        'wifi-security.psk': 'x',
        ...automaticIp,
      },
    ]);
  });

  it('takes an enterprise network with its certificates inside', async () => {
    const text = `network={
  ssid="corp"
  key_mgmt=WPA-EAP
  eap=PEAP TTLS
  identity="user"
  anonymous_identity="anon"
  password="pw"
  phase2="auth=MSCHAPV2"
  ca_cert="/etc/ssl/ca.pem"
}`;
    expect(await settings({ [wpa]: text, '/etc/ssl/ca.pem': 'CERTIFICATE' })).toEqual([
      {
        'connection.id': 'corp',
        'connection.type': 'wifi',
        'wifi.mode': 'infrastructure',
        'wifi.ssid': 'corp',
        'wifi-security.key-mgmt': 'wpa-eap',
        '802-1x.eap': 'peap;ttls;',
        '802-1x.identity': 'user',
        '802-1x.anonymous-identity': 'anon',
        '802-1x.password': 'pw',
        '802-1x.phase2-auth': 'mschapv2',
        '802-1x.ca-cert': 'data:;base64,Q0VSVElGSUNBVEU=',
        ...automaticIp,
      },
    ]);
    const without = await choose({ [wpa]: text });
    expect(without.profiles).toEqual([]);
    expect(without.notCarried.map(({ what, reason }) => [what, reason])).toContainEqual([
      'Wi-Fi "corp"',
      'its certificate /etc/ssl/ca.pem cannot be read',
    ]);
  });

  it.each([
    ['WEP', 'ssid="a"\nkey_mgmt=NONE\nwep_key0="abcde"', 'WEP is not secure, and today’s kernels refuse it'],
    ['a disabled network', 'ssid="a"\npsk="12345678"\ndisabled=1', 'it is disabled'],
    ['an access point', 'ssid="a"\npsk="12345678"\nmode=2', 'it is an access point, ad-hoc or mesh network'],
    ['a password kept elsewhere', 'ssid="a"\npsk=ext:key', 'its password is kept outside of the file'],
    ['no password', 'ssid="a"', 'its password is missing or not valid'],
    ['no SSID', 'psk="12345678"', 'its SSID cannot be read'],
    [
      'a hashed password',
      'ssid="a"\nkey_mgmt=WPA-EAP\neap=PEAP\npassword=hash:00',
      'its password is stored as a hash only',
    ],
  ])('says why it leaves %s', async (_, body, reason) => {
    const { profiles, notCarried } = await choose({ [wpa]: `network={\n${body}\n}\n` });
    expect(profiles).toEqual([]);
    expect(notCarried).toMatchObject([{ reason, source: `${wpa}:1` }]);
  });
});

describe('static addresses of a Wi-Fi interface', () => {
  const network = 'network={\nssid="n"\npsk="12345678"\n}\n';
  const expected = {
    'ipv4.method': 'manual',
    'ipv4.address1': '192.168.7.5/24',
    'ipv4.gateway': '192.168.7.1',
    'ipv4.dns': '192.168.7.1;9.9.9.9;',
  };

  it('come from dhcpcd', async () => {
    const dhcpcd = `hostname
interface wlan0
static ip_address=192.168.7.5/24
static routers=192.168.7.1 # the router
static domain_name_servers=192.168.7.1 9.9.9.9
`;
    expect(await settings({ [wpa]: network, '/etc/dhcpcd.conf': dhcpcd })).toMatchObject([expected]);
  });

  it('come from ifupdown', async () => {
    const interfaces = `auto lo
iface lo inet loopback
allow-hotplug wlan0
iface wlan0 inet static
    address 192.168.7.5
    netmask 255.255.255.0
    gateway 192.168.7.1
    dns-nameservers 192.168.7.1 9.9.9.9
    wpa-ssid "n"
    wpa-psk "12345678"
`;
    expect(await settings({ '/etc/network/interfaces': interfaces })).toMatchObject([
      { 'wifi.ssid': 'n', 'wifi-security.psk': '12345678', ...expected },
    ]);
  });

  it('come from systemd-networkd with drop-ins', async () => {
    const files = {
      '/etc/wpa_supplicant/wpa_supplicant-wlan0.conf': network,
      '/etc/systemd/network/10-wlan.network': '[Match]\nName=wl*\n[Network]\nAddress=192.168.7.5/24\nDNS=192.168.7.1\n',
      '/etc/systemd/network/10-wlan.network.d/more.conf': '[Network]\nGateway=192.168.7.1\nDNS=9.9.9.9\n',
    };
    expect(await settings(files)).toMatchObject([expected]);
  });
});

describe('wired interfaces', () => {
  const expected = {
    'connection.type': 'ethernet',
    'ethernet.mac-address': '02:00:00:00:00:01',
    'ipv4.method': 'manual',
    'ipv4.address1': '10.0.0.5/16',
    'ipv4.gateway': '10.0.0.1',
    'ipv6.method': 'auto',
  };

  it('need nothing where they use DHCP', async () => {
    const files = {
      '/etc/network/interfaces': 'auto eth0\niface eth0 inet dhcp\n',
      '/etc/netplan/50-cloud-init.yaml': 'network: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n',
    };
    expect((await choose(files)).notCarried).toEqual([]);
    const profiles = await settings({ '/etc/network/interfaces': 'auto eth0\niface eth0 inet dhcp\n' });
    expect(profiles).toEqual([]);
  });

  it.each([
    [
      'ifupdown',
      {
        '/etc/network/interfaces': 'source interfaces.d/*\n',
        '/etc/network/interfaces.d/eth0': 'iface eth0 inet static\n  address 10.0.0.5/16\n  gateway 10.0.0.1\n',
      },
    ],
    [
      'netplan',
      {
        '/etc/netplan/01.yaml':
          'network:\n  version: 2\n  ethernets:\n    main:\n      match: {macaddress: "02:00:00:00:00:01"}\n      addresses: [10.0.0.5/16]\n      routes: [{to: default, via: 10.0.0.1}]\n',
      },
    ],
    [
      'networkd',
      {
        '/etc/systemd/network/eth.network':
          '[Match]\nMACAddress=02:00:00:00:00:01\n[Network]\nGateway=10.0.0.1\n[Address]\nAddress=10.0.0.5/16\n',
      },
    ],
    ['dhcpcd', { '/etc/dhcpcd.conf': 'interface eth0\nstatic ip_address=10.0.0.5/16\nstatic routers=10.0.0.1\n' }],
    [
      'connman',
      {
        '/var/lib/connman/ethernet_020000000001_cable/settings':
          '[ethernet_020000000001_cable]\nName=Wired\nIPv4.method=manual\nIPv4.local_address=10.0.0.5\nIPv4.netmask_prefixlen=16\nIPv4.gateway=10.0.0.1\nIPv6.method=auto\n',
      },
    ],
  ])('keep fixed addresses from %s, bound to the MAC', async (_, files: Record<string, string>) => {
    expect(await settings(files)).toMatchObject([expected]);
    expect(await settings(files, { wired: false })).toEqual([]);
  });

  it.each([
    ['a VLAN', 'iface eth0.5 inet dhcp\n', 'VLANs are not taken over'],
    ['a bridge', 'iface br0 inet dhcp\n  bridge_ports eth0\n', 'bridges are not taken over'],
    [
      'a command',
      'iface eth0 inet static\n  address 10.0.0.5/8\n  post-up route add x\n',
      'commands are not taken over',
    ],
    ['nonsense', 'iface eth0 inet static\n  address here\n', 'its addresses make no sense'],
    ['a missing interface', 'iface eth7 inet static\n  address 10.0.0.5/8\n', 'there is no such interface'],
  ])('say why they leave %s', async (_, text, reason) => {
    const { notCarried } = await choose({ '/etc/network/interfaces': text });
    expect(notCarried.map((item) => item.reason)).toContain(reason);
  });
});

describe('connman', () => {
  it('gives Wi-Fi with its password, by the bytes of its SSID', async () => {
    const service = 'wifi_020000000002_68c3a4_managed_psk';
    const files = {
      [`/var/lib/connman/${service}/settings`]: `[${service}]\nName=hä\nSSID=68c3a4\nPassphrase=pass phrase\nIPv4.method=dhcp\n`,
      '/var/lib/connman/more.config':
        '[service_more]\nType=wifi\nName=more\nPassphrase=12345678\nIPv4=10.1.1.2/255.255.255.0/10.1.1.1\n',
    };
    expect(await settings(files)).toMatchObject([
      { 'wifi.ssid': 'more', 'ipv4.address1': '10.1.1.2/24', 'ipv4.gateway': '10.1.1.1' },
      { 'wifi.ssid': '104;195;164;', 'wifi-security.psk': 'pass phrase', 'ipv4.method': 'auto' },
    ]);
  });
});

describe('netplan', () => {
  it('gives Wi-Fi, and later files count more', async () => {
    const files = {
      '/etc/netplan/10.yaml':
        'network:\n  wifis:\n    wlan0:\n      dhcp4: true\n      access-points:\n        "a b":\n          password: "first one"\n        "corp":\n          auth: {key-management: eap, method: peap, identity: me, password: pw}\n',
      '/etc/netplan/20.yaml':
        'network:\n  wifis:\n    wlan0:\n      access-points:\n        "a b":\n          password: "second one"\n          hidden: true\n  bridges:\n    br0: {interfaces: [eth0]}\n',
    };
    expect(await settings(files)).toMatchObject([
      { 'wifi.ssid': 'a b', 'wifi.hidden': 'true', 'wifi-security.psk': 'second one' },
      { 'wifi.ssid': 'corp', '802-1x.identity': 'me' },
    ]);
    expect((await choose(files)).notCarried).toMatchObject([
      { what: 'bridges "br0"', reason: 'only ethernets and wifis are taken over' },
    ]);
  });

  it('refuses aliases and broken files by name', async () => {
    const { notCarried } = await choose({
      '/etc/netplan/a.yaml': 'network: &a {b: *a}\n',
      '/etc/netplan/b.yaml': 'network: [',
    });
    expect(notCarried.map(({ source }) => source)).toEqual(['/etc/netplan/a.yaml', '/etc/netplan/b.yaml']);
  });
});

describe('NetworkManager', () => {
  const path = '/etc/NetworkManager/system-connections/home.nmconnection';
  const text = `[connection]
id=home
uuid=0f7a4dd8-0f9f-4f9b-8d3b-0c1c1d1e1f10
type=wifi
interface-name=wlan0
permissions=user:pi:;
timestamp=1700000000

[wifi]
mode=infrastructure
ssid=home
security=802-11-wireless-security

[wifi-security]
key-mgmt=wpa-psk
psk=a\\\\b\\sc

[ipv4]
address1=10.0.0.9/24,10.0.0.1
method=manual
`;

  it('moves its keyfiles as they are, but bound to the MAC and without users', async () => {
    const { profiles } = await choose({ [path]: text });
    const [profile] = profiles;
    expect(profile?.name).toBe('migrated-wifi-home.nmconnection');
    expect(profile?.keyfile.reveal()).toBe(
      text
        .replace(/interface-name.*\n|permissions.*\n|timestamp.*\n/g, '')
        .replace('[wifi]\n', '[wifi]\nmac-address=02:00:00:00:00:02\n'),
    );
  });

  it.each([
    ['a VPN', text.replace('type=wifi', 'type=vpn'), 'connections of type "vpn" are not taken over'],
    [
      'a password that a user keeps',
      text.replace(/psk=.*\n/, 'psk-flags=1\n'),
      'its password is not in the file but with a user',
    ],
    ['an interface that is not there', text.replace('wlan0', 'wlan9'), 'there is no interface "wlan9"'],
    ['another file', 'rubbish', 'it is not a keyfile'],
  ])('says why it leaves %s', async (_, contents, reason) => {
    const { profiles, notCarried } = await choose({ [path]: contents });
    expect(profiles).toEqual([]);
    expect(notCarried).toMatchObject([{ reason, source: path }]);
  });

  it('counts before other sources of the same network', async () => {
    const files = { [path]: text, [wpa]: 'network={\nssid="home"\npsk="other one"\n}\n' };
    expect((await choose(files)).profiles.map(({ description }) => description)).toEqual([`Wi-Fi "home" from ${path}`]);
  });
});

describe('the choice', () => {
  const text = ['a', 'A', 'b'].map((ssid) => `network={\nssid="${ssid}"\npsk="12345678"\n}\n`).join('');

  it('takes the wanted SSIDs only and names those that are nowhere', async () => {
    const chosen = await choose({ [wpa]: text }, { allWifis: false, wifis: ['b', 'c'] });
    expect(chosen.profiles.map(({ name }) => name)).toEqual(['migrated-wifi-b.nmconnection']);
    expect(chosen.missing).toEqual(['c']);
    expect((await choose({ [wpa]: text }, { allWifis: false })).profiles).toEqual([]);
  });

  it('gives names that differ where no case is told', async () => {
    const chosen = await choose({ [wpa]: text });
    expect(chosen.profiles.map(({ name }) => name)).toEqual([
      'migrated-wifi-a.nmconnection',
      'migrated-wifi-a-2.nmconnection',
      'migrated-wifi-b.nmconnection',
    ]);
  });

  it('prints no password in anything but the keyfile', async () => {
    const chosen = await choose({ [wpa]: 'network={\nssid="a"\npsk="canary-secret"\n}\n' });
    expect(JSON.stringify(chosen)).not.toContain('canary-secret');
    expect(chosen.profiles[0]?.keyfile.reveal()).toContain('canary-secret');
  });
});

describe('keyfile values', () => {
  it('keep any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        (text) => plainValue(escapeValue(text)) === text && !/[\n\r\t]/.test(escapeValue(text)),
      ),
    );
  });

  it('keep any SSID to the byte', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 32 }), (ssid) =>
        Buffer.from(parseSsidValue(ssidValue(ssid))).equals(Buffer.from(ssid)),
      ),
    );
    fc.assert(
      fc.property(
        fc.stringMatching(/^[ -~]{1,32}$/),
        (ssid) => Buffer.from(parseSsidValue(ssidValue(Buffer.from(ssid)))).toString() === ssid,
      ),
    );
  });
});

describe('any text in any source', () => {
  const paths = [
    wpa,
    '/etc/dhcpcd.conf',
    '/etc/network/interfaces',
    '/etc/systemd/network/a.network',
    '/etc/netplan/a.yaml',
    '/var/lib/connman/a.config',
    '/var/lib/connman/wifi_020000000002_61_managed_psk/settings',
    '/etc/NetworkManager/system-connections/a',
  ];
  const words = fc.constantFrom(
    ...[
      'network={',
      '}',
      'ssid="a"',
      'psk="12345678"',
      'iface eth0 inet static',
      'address 1.2.3.4',
      'source *',
      '[Match]',
      '[Network]',
      'Name=*',
    ],
    ...[
      '[connection]',
      'id=a',
      'type=wifi',
      '[wifi]',
      'ssid=1;2;',
      'network:',
      '  wifis:',
      '    wlan0: {access-points: {a: {}}}',
      '[service_a]',
      'Type=wifi',
    ],
    ...[
      'Name=x',
      'interface eth0',
      'static ip_address=1',
      '\\',
      '=',
      '"',
      '&a *a',
      '\0',
      '[wifi_020000000002_61_managed_psk]',
    ],
  );

  it('is read or passed over, never an error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.array(words, { maxLength: 12 }), async (path, lines) => {
        const { profiles } = await choose({ [path]: lines.join('\n') });
        for (const { keyfile } of profiles) expect(parseKeyfile(keyfile.reveal())).toBeDefined();
      }),
      { numRuns: 2000 },
    );
  });
});
