// connman: doc/config-format.txt (provisioning files) and the settings that it keeps itself, one directory a service.
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import { cidr, ipPair } from './addresses.ts';
import { type IniSection, parseIni } from './ini.ts';
import type {
  EapSettings,
  InterfaceSettings,
  IpPair,
  NetworkReading,
  NotCarried,
  WifiNetwork,
  WifiSecurity,
} from './profile.ts';
import { withoutUndefined } from './without-undefined.ts';

type Settings = ReadonlyMap<string, string>;

/** Reads /var/lib/connman/*.config, which administrators write. */
export function readConnmanConfig(text: string, path: string): NetworkReading {
  const readings = parseIni(text)
    .filter(({ name }) => name.startsWith('service_'))
    .map((section) => readService(settingsOf(section), provisionedIp, { source: `${path} [${section.name}]` }));
  return joined(readings);
}

/** Reads /var/lib/connman/SERVICE/settings; `service` is the directory's name: type, MAC and details joined by "_". */
export function readConnmanSettings(text: string, path: string, service: string): NetworkReading {
  const section = parseIni(text).find(({ name }) => name === service);
  if (section === undefined) return joined([]);
  const [type = '', mac = ''] = service.split('_');
  const settings = new Map([['Type', type], ...settingsOf(section)]);
  if (/^[0-9a-f]{12}$/i.test(mac)) settings.set('MAC', mac.toLowerCase().replace(/(..)(?!$)/g, '$1:'));
  // The name of an open or secured network ends with its security; settings has none.
  settings.set('Security', service.split('_').at(-1) ?? '');
  settings.set('Hidden', String(service.split('_')[2] === 'hidden'));
  return readService(settings, storedIp, { source: path });
}

function joined(readings: readonly NetworkReading[]): NetworkReading {
  return {
    wifis: readings.flatMap(({ wifis }) => wifis),
    interfaces: readings.flatMap(({ interfaces }) => interfaces),
    notCarried: readings.flatMap(({ notCarried }) => notCarried),
  };
}

function settingsOf(section: IniSection): Settings {
  return new Map(section.settings.map(([key, value]) => [key, value.replaceAll('\\s', ' ').replaceAll('\\\\', '\\')]));
}

function readService(
  settings: Settings,
  ipOf: (settings: Settings) => IpPair | undefined,
  { source }: { source: string },
): NetworkReading {
  const none = { wifis: [], interfaces: [], notCarried: [] };
  const refuse = (what: string, reason: string): NetworkReading => ({
    ...none,
    notCarried: [
      { medium: settings.get('Type') === 'wifi' ? 'wifi' : 'wired', what, reason, source },
    ] satisfies NotCarried[],
  });
  const mac = settings.get('MAC')?.toLowerCase();
  const match = mac === undefined ? {} : { mac };
  const ip = ipOf(settings);
  const type = settings.get('Type');
  if (type === 'ethernet') {
    if (ip === undefined) return refuse('Ethernet', 'its addresses make no sense');
    return { ...none, interfaces: [{ match, ...ip, source }] satisfies InterfaceSettings[] };
  }
  if (type !== 'wifi')
    return refuse(`a service of type ${quoted(type ?? '')}`, 'only Wi-Fi and Ethernet are taken over');
  const hex = settings.get('SSID');
  const name = settings.get('Name') ?? '';
  const ssid = hex !== undefined && /^(?:[0-9a-f]{2})+$/i.test(hex) ? Buffer.from(hex, 'hex') : Buffer.from(name);
  const what = `Wi-Fi ${quoted(ssid.toString())}`;
  if (ssid.length === 0) return refuse('Wi-Fi', 'it has neither name nor SSID');
  const security = securityOf(settings);
  if (typeof security === 'string') return refuse(what, security);
  if (ip === undefined) return refuse(what, 'its addresses make no sense');
  const network: WifiNetwork = { ssid, isHidden: settings.get('Hidden') === 'true', security, match, ip, source };
  return { ...none, wifis: [network] };
}

function securityOf(settings: Settings): WifiSecurity | string {
  const passphrase = settings.get('Passphrase') ?? '';
  const security = settings.get('Security') ?? '';
  if (settings.has('EAP') || security === 'ieee8021x') return eapOf(settings);
  if (security === 'wep') return 'WEP is not secure, and today’s kernels refuse it';
  if (passphrase !== '') return { kind: security === 'sae' ? 'sae' : 'psk', psk: new Secret(passphrase) };
  return ['psk', 'sae', 'rsn'].includes(security) ? 'its password is missing' : { kind: 'open' };
}

function eapOf(settings: Settings): WifiSecurity | string {
  const method = settings.get('EAP')?.toLowerCase();
  if (method === undefined || method === '') return 'it names no EAP method';
  const secret = (key: string): Secret | undefined => {
    const value = settings.get(key);
    return value === undefined ? undefined : new Secret(value);
  };
  const file = (key: string) => {
    const path = settings.get(key);
    return path === undefined ? undefined : { path };
  };
  const eap = withoutUndefined<EapSettings>({
    methods: [method],
    identity: settings.get('Identity'),
    anonymousIdentity: settings.get('AnonymousIdentity'),
    password: secret('Passphrase'),
    phase2: settings.get('Phase2')?.toLowerCase().replace(/^eap-/, ''),
    domainSuffixMatch: settings.get('DomainSuffixMatch'),
    caCertificate: file('CACertFile'),
    clientCertificate: file('ClientCertFile'),
    privateKey: file('PrivateKeyFile'),
    privateKeyPassword: secret('PrivateKeyPassphrase'),
  });
  return { kind: 'eap', eap };
}

/** "IPv4 = address/netmask/gateway", "off" or "dhcp", in administrators' files. */
function provisionedIp(settings: Settings): IpPair | undefined {
  const families = ['IPv4', 'IPv6'].map((key) => {
    const value = settings.get(key) ?? (key === 'IPv4' ? 'dhcp' : 'auto');
    if (['dhcp', 'auto'].includes(value)) return { isAutomatic: true, addresses: [], gateways: [] };
    if (value === 'off') return { isAutomatic: false, addresses: [], gateways: [] };
    const [address = '', mask, gateway] = value.split('/');
    const full = cidr(address, mask);
    return { isAutomatic: false, addresses: [full], gateways: gateway === undefined ? [] : [gateway] };
  });
  return pairOf(settings, families);
}

/** "IPv4.method", "IPv4.local_address", "IPv4.netmask_prefixlen" and "IPv4.gateway", in connman's own. */
function storedIp(settings: Settings): IpPair | undefined {
  const families = ['IPv4', 'IPv6'].map((key) => {
    const method = settings.get(`${key}.method`) ?? 'auto';
    if (method === 'dhcp' || method === 'auto') return { isAutomatic: true, addresses: [], gateways: [] };
    const address = settings.get(`${key}.local_address`);
    if (method !== 'manual' || address === undefined) return { isAutomatic: false, addresses: [], gateways: [] };
    const gateway = settings.get(`${key}.gateway`);
    return {
      isAutomatic: false,
      addresses: [cidr(address, settings.get(`${key}.netmask_prefixlen`))],
      gateways: gateway === undefined ? [] : [gateway],
    };
  });
  return pairOf(settings, families);
}

function pairOf(
  settings: Settings,
  families: readonly {
    readonly isAutomatic: boolean;
    readonly addresses: readonly (string | undefined)[];
    readonly gateways: readonly string[];
  }[],
): IpPair | undefined {
  const addresses = families.flatMap((family) => family.addresses);
  if (addresses.includes(undefined)) return undefined;
  const list = (key: string): string[] => (settings.get(key) ?? '').split(/[;,\s]+/).filter(Boolean);
  return ipPair({
    dhcp4: families[0]?.isAutomatic ?? true,
    dhcp6: families[1]?.isAutomatic ?? true,
    addresses: addresses.filter((address) => address !== undefined),
    gateways: families.flatMap(({ gateways }) => gateways),
    dns: list('Nameservers'),
    dnsSearch: [...list('SearchDomains'), ...list('Domains')],
    routes: [],
  });
}
