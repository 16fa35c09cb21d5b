import { createHash } from 'node:crypto';
import { escapeValue, type KeyfileSection, printKeyfile, ssidValue } from './keyfile.ts';
import type { EapSettings, IpPair, IpSettings, WifiNetwork, WifiSecurity } from './profile.ts';

type Setting = readonly [key: string, value: string];
/** Contents of certificate files by their path on the old system. */
export type Certificates = ReadonlyMap<string, Uint8Array>;

export interface ProfileHead {
  /** Shown by NetworkManager; also the source of the connection's UUID, so that the same input gives the same file. */
  readonly id: string;
  /** Lower-case MAC of the only interface that it holds for. */
  readonly mac?: string;
}

/** A keyfile for a Wi-Fi network. Certificates stand in it as data, since no file of the old system survives. */
export function printWifiProfile(
  head: ProfileHead,
  network: Pick<WifiNetwork, 'ssid' | 'isHidden' | 'security' | 'priority'>,
  { ip, certificates }: { ip: IpPair; certificates: Certificates },
): string {
  const { priority } = network;
  return printKeyfile([
    connectionSection(
      head,
      'wifi',
      priority === undefined ? [] : [['autoconnect-priority', String(clampPriority(priority))]],
    ),
    {
      name: 'wifi',
      settings: [
        ...(head.mac === undefined ? [] : [['mac-address', head.mac.toUpperCase()] as const]),
        ['mode', 'infrastructure'],
        ['ssid', ssidValue(network.ssid)],
        ...(network.isHidden ? [['hidden', 'true'] as const] : []),
      ],
    },
    { name: 'wifi-security', settings: securitySettings(network.security) },
    {
      name: '802-1x',
      settings: network.security.kind === 'eap' ? eapSettings(network.security.eap, certificates) : [],
    },
    ...ipSections(ip),
  ]);
}

/** A keyfile for a wired interface; with `eap`, for one that proves itself by 802.1X. */
export function printEthernetProfile(
  head: ProfileHead,
  ip: IpPair,
  authentication?: { readonly eap: EapSettings; readonly certificates: Certificates },
): string {
  return printKeyfile([
    connectionSection(head, 'ethernet', []),
    { name: 'ethernet', settings: head.mac === undefined ? [] : [['mac-address', head.mac.toUpperCase()]] },
    {
      name: '802-1x',
      settings: authentication === undefined ? [] : eapSettings(authentication.eap, authentication.certificates),
    },
    ...ipSections(ip),
  ]);
}

function connectionSection({ id }: ProfileHead, type: string, more: readonly Setting[]): KeyfileSection {
  return {
    name: 'connection',
    settings: [['id', escapeValue(id)], ['uuid', uuidOf(`${type} ${id}`)], ['type', type], ...more],
  };
}

/** NetworkManager allows -999 to 999. */
function clampPriority(priority: number): number {
  return Math.max(-999, Math.min(999, Math.trunc(priority)));
}

/** A UUID of version 8 (RFC 9562, section 5.8) made of a hash of the name. */
function uuidOf(name: string): string {
  const bytes = createHash('sha256').update(`balena migrate ${name}`).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function securitySettings(security: WifiSecurity): Setting[] {
  switch (security.kind) {
    case 'open':
      return [];
    case 'owe':
      return [['key-mgmt', 'owe']];
    case 'psk':
      return [
        ['key-mgmt', 'wpa-psk'],
        ['psk', escapeValue(security.psk.reveal())],
      ];
    case 'sae':
      return [
        ['key-mgmt', 'sae'],
        ['psk', escapeValue(security.psk.reveal())],
      ];
    case 'eap':
      return [['key-mgmt', 'wpa-eap']];
  }
}

function eapSettings(eap: EapSettings, certificates: Certificates): Setting[] {
  const text = (key: string, value: string | undefined): Setting[] =>
    value === undefined ? [] : [[key, escapeValue(value)]];
  const file = (key: string, certificate: EapSettings['caCertificate']): Setting[] => {
    const contents = certificate === undefined ? undefined : certificates.get(certificate.path);
    return contents === undefined ? [] : [[key, `data:;base64,${Buffer.from(contents).toString('base64')}`]];
  };
  return [
    ['eap', `${eap.methods.join(';')};`],
    ...text('identity', eap.identity),
    ...text('anonymous-identity', eap.anonymousIdentity),
    ...text('password', eap.password?.reveal()),
    ...text('phase2-auth', eap.phase2),
    ...text('domain-suffix-match', eap.domainSuffixMatch),
    ...file('ca-cert', eap.caCertificate),
    ...file('client-cert', eap.clientCertificate),
    ...file('private-key', eap.privateKey),
    ...text('private-key-password', eap.privateKeyPassword?.reveal()),
  ];
}

function ipSections({ ipv4, ipv6 }: IpPair): KeyfileSection[] {
  return [
    { name: 'ipv4', settings: ipSettings(ipv4) },
    { name: 'ipv6', settings: ipSettings(ipv6) },
  ];
}

function ipSettings(ip: IpSettings): Setting[] {
  const isV4Default = (destination: string): boolean => destination === '0.0.0.0/0' || destination === '::/0';
  const routes = ip.routes.filter(({ destination }) => !isV4Default(destination));
  const gateway = ip.gateway ?? ip.routes.find(({ destination }) => isV4Default(destination))?.gateway;
  return [
    ['method', ip.method],
    ...ip.addresses.map((address, index): Setting => [`address${index + 1}`, address]),
    // Without an address NetworkManager refuses a gateway.
    ...(gateway === undefined || ip.addresses.length === 0 ? [] : [['gateway', gateway] as const]),
    ...(ip.dns.length === 0 ? [] : [['dns', `${ip.dns.join(';')};`] as const]),
    ...(ip.dnsSearch.length === 0 ? [] : [['dns-search', `${ip.dnsSearch.join(';')};`] as const]),
    ...routes.map(({ destination, gateway: via, metric }, index): Setting => {
      const parts = [
        destination,
        via ?? (metric === undefined ? undefined : destination.includes(':') ? '::' : '0.0.0.0'),
        metric,
      ];
      return [`route${index + 1}`, parts.filter((part) => part !== undefined).join(',')];
    }),
  ];
}
