// dhcpcd.conf(5), which Raspberry Pi OS used until 2023.
import { cidr, ipPair } from './addresses.ts';
import type { InterfaceSettings, NetworkReading, NotCarried } from './profile.ts';

interface Block {
  readonly line: number;
  readonly interfaceName: string;
  readonly statics: Map<string, string>;
}

/** Reads static settings; what dhcpcd does by itself (DHCP on every interface) needs no words. */
export function readDhcpcd(text: string, path: string): NetworkReading {
  const interfaces: InterfaceSettings[] = [];
  const notCarried: NotCarried[] = [];
  for (const { line, interfaceName, statics } of blocksOf(text, path, notCarried)) {
    const source = `${path}:${line}`;
    const words = (key: string): string[] => (statics.get(key) ?? '').split(/[\s,]+/).filter(Boolean);
    const raw = [...words('ip_address'), ...words('ip6_address')];
    const addresses = raw.map((address) => cidr(address, classPrefix(address)));
    if (addresses.includes(undefined)) {
      notCarried.push({
        medium: 'wired',
        what: `interface "${interfaceName}"`,
        reason: 'its addresses make no sense',
        source,
      });
      continue;
    }
    if (statics.size === 0) continue;
    const hasV4 = raw.some((address) => !address.includes(':'));
    const pair = ipPair({
      dhcp4: !hasV4,
      dhcp6: true,
      addresses: addresses.filter((address) => address !== undefined),
      gateways: [...words('routers'), ...words('ip6_gateway')],
      dns: words('domain_name_servers'),
      dnsSearch: [...words('domain_name'), ...words('domain_search')],
      routes: [],
    });
    interfaces.push({ match: { name: interfaceName }, ...pair, source });
  }
  return { wifis: [], interfaces, notCarried };
}

/** Without a prefix dhcpcd takes the one of the address's class. */
function classPrefix(address: string): string | undefined {
  const first = Number(/^(\d+)\.[\d.]+$/.exec(address)?.[1] ?? Number.NaN);
  if (Number.isNaN(first)) return undefined;
  return first < 128 ? '8' : first < 192 ? '16' : '24';
}

function blocksOf(text: string, path: string, notCarried: NotCarried[]): Block[] {
  const blocks: Block[] = [];
  let current: Block | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/(?:^|\s)#.*$/, '').trim();
    const [word = '', argument = ''] = line.split(/\s+/);
    const source = `${path}:${index + 1}`;
    if (word === 'interface') {
      current = { line: index + 1, interfaceName: argument, statics: new Map() };
      blocks.push(current);
    } else if (word === 'ssid' || word === 'profile') {
      current = undefined;
      notCarried.push({
        medium: 'wired',
        what: line,
        reason: 'settings for one network or as a fallback are not taken over',
        source,
      });
    } else if (word === 'static') {
      const [, key, value] = /^static\s+(\w+)\s*=\s*(.*)$/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) current?.statics.set(key, value);
    }
  }
  return blocks;
}
