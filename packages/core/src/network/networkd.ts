// systemd-networkd: systemd.network(5).
import { quoted } from '../config/quoted.ts';
import { cidr, ipPair } from './addresses.ts';
import { lastValueOf, parseIni, valuesOf } from './ini.ts';
import type { InterfaceSettings, IpRoute, NetworkReading } from './profile.ts';

/** Reads one .network file with its drop-ins appended, in their order. */
export function readNetworkd(text: string, path: string): NetworkReading {
  const sections = parseIni(text);
  const refuse = (reason: string): NetworkReading => ({
    wifis: [],
    interfaces: [],
    notCarried: [{ medium: 'wired', what: 'a network', reason, source: path }],
  });
  const foreign = ['VLAN', 'Bridge', 'Bond', 'Tunnel', 'VRF', 'MACVLAN'].find(
    (key) => lastValueOf(sections, 'Network', key) !== undefined,
  );
  if (foreign !== undefined) return refuse(`${foreign} is not taken over`);
  const match = matchOf(sections);
  if (typeof match === 'string') return refuse(match);
  const all = (section: string, key: string): string[] => {
    const values: string[] = [];
    // An empty value clears what came before.
    for (const value of valuesOf(sections, section, key)) value === '' ? values.splice(0) : values.push(value);
    return values;
  };
  const words = (section: string, key: string): string[] => all(section, key).flatMap((value) => value.split(/\s+/));
  const addresses = [...all('Network', 'Address'), ...all('Address', 'Address')].map((address) => cidr(address));
  if (addresses.includes(undefined)) return refuse('its addresses make no sense');
  const routes = sections
    .filter(({ name }) => name === 'Route')
    .map((section): IpRoute => {
      const gateway = lastValueOf([section], 'Route', 'Gateway');
      const metric = lastValueOf([section], 'Route', 'Metric');
      const anywhere = gateway?.includes(':') === true ? '::/0' : '0.0.0.0/0';
      return {
        destination: cidr(lastValueOf([section], 'Route', 'Destination') ?? anywhere) ?? anywhere,
        ...(gateway === undefined || gateway.startsWith('_') ? {} : { gateway }),
        ...(metric === undefined ? {} : { metric: Number(metric) }),
      };
    });
  const dhcp = (lastValueOf(sections, 'Network', 'DHCP') ?? 'no').toLowerCase();
  const isOn = ['yes', 'true', '1', 'on', 'both'].includes(dhcp);
  const pair = ipPair({
    dhcp4: isOn || dhcp === 'ipv4' || dhcp === 'v4',
    dhcp6: isOn || dhcp === 'ipv6' || dhcp === 'v6',
    addresses: addresses.filter((address) => address !== undefined),
    gateways: words('Network', 'Gateway').filter((gateway) => !gateway.startsWith('_')),
    // "1.1.1.1:53#name" and "%interface" are beyond what keyfiles say.
    dns: words('Network', 'DNS').map((server) => server.replace(/#.*$/, '')),
    dnsSearch: words('Network', 'Domains').filter((domain) => !domain.startsWith('~')),
    routes,
  });
  return { wifis: [], notCarried: [], interfaces: [{ match, ...pair, source: path }] satisfies InterfaceSettings[] };
}

/** The interfaces that a file is for, or why that cannot be said in a keyfile. */
function matchOf(sections: ReturnType<typeof parseIni>): InterfaceSettings['match'] | string {
  const mac = lastValueOf(sections, 'Match', 'MACAddress') ?? lastValueOf(sections, 'Match', 'PermanentMACAddress');
  const name = lastValueOf(sections, 'Match', 'Name');
  const type = lastValueOf(sections, 'Match', 'Type');
  if (mac !== undefined)
    return /^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i.test(mac)
      ? { mac: mac.toLowerCase().replaceAll('-', ':') }
      : 'it is for several MAC addresses';
  if (name !== undefined) return /[\s!]/.test(name) ? `its interfaces ${quoted(name)} are a list` : { name };
  if (type !== undefined)
    return (
      ({ ether: { name: 'e*' }, wlan: { name: 'wl*' } } as const)[type] ??
      `interfaces of type ${quoted(type)} are not taken over`
    );
  return 'it names no interface';
}
