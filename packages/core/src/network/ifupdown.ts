// /etc/network/interfaces: interfaces(5) of Debian's ifupdown.
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import { cidr, ipPair } from './addresses.ts';
import {
  automaticPair,
  type InterfaceSettings,
  type IpPair,
  type NetworkReading,
  type NotCarried,
  type WifiNetwork,
} from './profile.ts';

interface Stanza {
  readonly line: number;
  readonly name: string;
  readonly family: string;
  readonly method: string;
  readonly options: readonly (readonly [key: string, value: string])[];
}

export interface InterfacesFile {
  readonly stanzas: readonly Stanza[];
  /** Interfaces that are brought up by themselves. */
  readonly started: readonly string[];
  /** Patterns and directories of further files, in order. */
  readonly sources: readonly { readonly kind: 'source' | 'source-directory'; readonly pattern: string }[];
}

/** Parses one file; `sources` are for the caller to read. */
export function parseInterfaces(text: string): InterfacesFile {
  const stanzas: { line: number; name: string; family: string; method: string; options: [string, string][] }[] = [];
  const started: string[] = [];
  const sources: { kind: 'source' | 'source-directory'; pattern: string }[] = [];
  let isInStanza = false;
  for (const [index, raw] of joinContinued(text)) {
    const [word = '', ...rest] = raw.trim().split(/\s+/);
    if (word === '' || word.startsWith('#')) continue;
    const isKeyword =
      /^(?:iface|auto|allow-\w+|mapping|source|source-directory|no-auto-down|no-scripts|template|rename)$/.test(word);
    if (isKeyword) isInStanza = word === 'iface';
    if (word === 'iface') {
      const [name = '', family = '', method = ''] = rest;
      stanzas.push({ line: index + 1, name, family, method, options: [] });
    } else if (word === 'auto' || word.startsWith('allow-')) started.push(...rest);
    else if (word === 'source' || word === 'source-directory') sources.push({ kind: word, pattern: rest.join(' ') });
    else if (isInStanza) stanzas.at(-1)?.options.push([word, raw.trim().slice(word.length).trim()]);
  }
  return { stanzas, started, sources };
}

function joinContinued(text: string): [index: number, line: string][] {
  const lines: [number, string][] = [];
  let open: string | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const whole = open === undefined ? line : `${open} ${line}`;
    if (whole.endsWith('\\')) open = whole.slice(0, -1);
    else {
      lines.push([index, whole]);
      open = undefined;
    }
  }
  return lines;
}

/** What a file's stanzas mean; IPv4 and IPv6 stanzas of an interface belong together. */
export function readInterfaces(file: InterfacesFile, path: string): NetworkReading {
  const interfaces: InterfaceSettings[] = [];
  const wifis: WifiNetwork[] = [];
  const notCarried: NotCarried[] = [];
  for (const name of new Set(file.stanzas.map((stanza) => stanza.name))) {
    const stanzas = file.stanzas.filter((stanza) => stanza.name === name);
    const source = `${path}:${stanzas[0]?.line}`;
    const what = `interface ${quoted(name)}`;
    const refusal = refusalOf(name, stanzas);
    if (name === 'lo') continue;
    if (refusal !== undefined) notCarried.push({ medium: 'wired', what, reason: refusal, source });
    if (refusal !== undefined || stanzas.every(({ method }) => method === 'manual' && !stanzas.some(hasWifi))) continue;
    const ip = ipOf(stanzas);
    if (ip === undefined) {
      notCarried.push({ medium: 'wired', what, reason: 'its addresses make no sense', source });
      continue;
    }
    interfaces.push({ match: { name }, ...ip, source });
    for (const [key] of stanzas
      .flatMap(({ options }) => options)
      .filter(([key]) => /^(?:pre-|post-)?(?:up|down)$/.test(key))) {
      notCarried.push({ medium: 'wired', what: `"${key}" of ${what}`, reason: 'commands are not taken over', source });
    }
    if (/IEEE8021X/i.test(optionOf(stanzas, 'wpa-key-mgmt') ?? '')) {
      const reason = '802.1X is not taken over from this file';
      notCarried.push({ medium: 'wired', what: `802.1X of ${what}`, reason, source });
    }
    const wifi = wifiOf(stanzas, { name, source });
    if (wifi !== undefined) wifis.push(wifi);
  }
  return { interfaces, wifis, notCarried };
}

function refusalOf(name: string, stanzas: readonly Stanza[]): string | undefined {
  const has = (pattern: RegExp): boolean => stanzas.some(({ options }) => options.some(([key]) => pattern.test(key)));
  if (/\.\d+$|^vlan\d/.test(name) || has(/^vlan[-_]/)) return 'VLANs are not taken over';
  if (has(/^bridge[-_]/)) return 'bridges are not taken over';
  if (has(/^bond[-_]/)) return 'bonds are not taken over';
  if (name.includes(':')) return 'aliases are not taken over; write the addresses into one connection';
  const foreign = stanzas.find(({ method }) => !['static', 'dhcp', 'manual', 'auto', 'loopback'].includes(method));
  return foreign === undefined ? undefined : `the method ${quoted(foreign.method)} is not taken over`;
}

function optionOf(stanzas: readonly Stanza[], ...keys: readonly string[]): string | undefined {
  return stanzas.flatMap(({ options }) => options).find(([key]) => keys.includes(key))?.[1];
}

function ipOf(stanzas: readonly Stanza[]): IpPair | undefined {
  const statics = stanzas.filter(({ method }) => method === 'static');
  const addresses = statics.map((stanza) => cidr(optionOf([stanza], 'address') ?? '', optionOf([stanza], 'netmask')));
  if (addresses.includes(undefined)) return undefined;
  const words = (key: string): string[] =>
    stanzas
      .flatMap(({ options }) => options.filter(([name]) => name === key).flatMap(([, value]) => value.split(/\s+/)))
      .filter(Boolean);
  const has = (family: string, ...methods: readonly string[]): boolean =>
    stanzas.some((stanza) => stanza.family === family && methods.includes(stanza.method));
  const pair = ipPair({
    dhcp4: has('inet', 'dhcp'),
    dhcp6: has('inet6', 'dhcp', 'auto'),
    addresses: addresses.filter((address) => address !== undefined),
    gateways: words('gateway'),
    dns: words('dns-nameservers').concat(words('dns-nameserver')),
    dnsSearch: words('dns-search').concat(words('dns-domain')),
    routes: [],
  });
  return has('inet', 'dhcp', 'static') ? pair : { ...pair, ipv4: automaticPair.ipv4 };
}

function hasWifi({ options }: Stanza): boolean {
  return options.some(([key]) => key === 'wpa-ssid' || key === 'wireless-essid' || key === 'wpa-conf');
}

function wifiOf(
  stanzas: readonly Stanza[],
  { name, source }: { name: string; source: string },
): WifiNetwork | undefined {
  const unquoted = (text: string): string => /^"(.*)"$/.exec(text)?.[1] ?? text;
  const ssid = optionOf(stanzas, 'wpa-ssid', 'wireless-essid');
  if (ssid === undefined) return undefined;
  const psk = optionOf(stanzas, 'wpa-psk');
  return {
    ssid: Buffer.from(unquoted(ssid)),
    isHidden: optionOf(stanzas, 'wpa-scan-ssid', 'wpa-scan_ssid') === '1',
    security: psk === undefined ? { kind: 'open' } : { kind: 'psk', psk: new Secret(unquoted(psk)) },
    match: { name },
    source,
  };
}
