// netplan: netplan-yaml(5). All files count together; a later file's settings replace an earlier one's.
import { parse } from 'yaml';
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import { cidr, ipPair, isAddress } from './addresses.ts';
import type {
  EapSettings,
  InterfaceMatch,
  InterfaceSettings,
  IpPair,
  IpRoute,
  NetworkReading,
  NotCarried,
  WifiNetwork,
  WifiSecurity,
  WiredAuthentication,
} from './profile.ts';
import { withoutUndefined } from './without-undefined.ts';

type Tree = { readonly [key: string]: unknown };

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);
const treeOf = (value: unknown): Tree => (isTree(value) ? value : {});
const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const textsOf = (value: unknown): string[] => listOf(value).flatMap((item) => textOf(item) ?? []);

/** Reads netplan's files in the order of their names, whatever directory they lie in. */
export function readNetplan(files: readonly { readonly path: string; readonly text: string }[]): NetworkReading {
  const notCarried: NotCarried[] = [];
  let merged: Tree = {};
  for (const { path, text } of files) {
    try {
      // Aliases are off, so that no file of a few lines becomes a large tree.
      merged = merge(merged, treeOf(parse(text, { maxAliasCount: 0, uniqueKeys: true, schema: 'core' })));
    } catch {
      notCarried.push({ medium: 'wired', what: 'a netplan file', reason: 'it is not valid YAML', source: path });
    }
  }
  const source = files.map(({ path }) => path).join(', ');
  const network = treeOf(merged.network);
  const interfaces: InterfaceSettings[] = [];
  const wifis: WifiNetwork[] = [];
  const authentications: WiredAuthentication[] = [];
  for (const [kind, devices] of Object.entries(network)) {
    if (kind === 'version' || kind === 'renderer') continue;
    for (const [id, raw] of Object.entries(treeOf(devices))) {
      const what = `${kind} ${quoted(id)}`;
      if (kind !== 'ethernets' && kind !== 'wifis') {
        notCarried.push({ medium: 'wired', what, reason: 'only ethernets and wifis are taken over', source });
        continue;
      }
      const device = treeOf(raw);
      const ip = ipOf(device);
      if (ip === undefined) {
        notCarried.push({
          medium: kind === 'wifis' ? 'wifi' : 'wired',
          what,
          reason: 'its addresses make no sense',
          source,
        });
        continue;
      }
      const match = matchOf(id, device);
      interfaces.push({ match, ...ip, source });
      const eap = kind === 'ethernets' ? wiredEapOf(treeOf(device.auth)) : undefined;
      if (typeof eap === 'string') notCarried.push({ medium: 'wired', what: `802.1X of ${what}`, reason: eap, source });
      else if (eap !== undefined) authentications.push({ match, eap, source });
      for (const [ssid, point] of Object.entries(treeOf(device['access-points']))) {
        const security = securityOf(treeOf(point));
        if (typeof security === 'string')
          notCarried.push({ medium: 'wifi', what: `Wi-Fi ${quoted(ssid)}`, reason: security, source });
        else
          wifis.push({ ssid: Buffer.from(ssid), isHidden: treeOf(point).hidden === true, security, match, ip, source });
      }
    }
  }
  return { wifis, interfaces, authentications, notCarried };
}

function merge(below: Tree, above: Tree): Tree {
  const merged: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = merged[key];
    merged[key] =
      isTree(old) && isTree(value)
        ? merge(old, value)
        : Array.isArray(old) && Array.isArray(value)
          ? [...old, ...value]
          : value;
  }
  return merged;
}

function matchOf(id: string, device: Tree): InterfaceMatch {
  const match = treeOf(device.match);
  const mac = textOf(match.macaddress)?.toLowerCase();
  const name = textOf(match.name);
  if (mac !== undefined) return { mac };
  return { name: textOf(device['set-name']) ?? name ?? id };
}

function ipOf(device: Tree): IpPair | undefined {
  // An address may be a mapping of itself to its options.
  const raw = listOf(device.addresses).flatMap((item) => textOf(item) ?? Object.keys(treeOf(item))[0] ?? []);
  const addresses = raw.map((address) => cidr(address));
  if (addresses.includes(undefined)) return undefined;
  const servers = treeOf(device.nameservers);
  const routes = listOf(device.routes).flatMap((item) => routeOf(treeOf(item)) ?? []);
  return ipPair({
    dhcp4: device.dhcp4 === true,
    dhcp6: device.dhcp6 === true,
    addresses: addresses.filter((address) => address !== undefined),
    gateways: [textOf(device.gateway4), textOf(device.gateway6)].filter((gateway) => gateway !== undefined),
    dns: textsOf(servers.addresses).filter(isAddress),
    dnsSearch: textsOf(servers.search),
    routes,
  });
}

function routeOf(route: Tree): IpRoute | undefined {
  const gateway = textOf(route.via);
  const to = textOf(route.to);
  const anywhere = gateway?.includes(':') === true ? '::/0' : '0.0.0.0/0';
  const destination = to === 'default' ? anywhere : to === undefined ? undefined : cidr(to);
  const metric = Number(textOf(route.metric) ?? 'none');
  if (destination === undefined) return undefined;
  return {
    destination,
    ...(gateway === undefined ? {} : { gateway }),
    ...(Number.isInteger(metric) ? { metric } : {}),
  };
}

function securityOf(point: Tree): WifiSecurity | string {
  const mode = textOf(point.mode) ?? 'infrastructure';
  if (mode !== 'infrastructure') return 'it is an access point or ad-hoc network';
  const auth = treeOf(point.auth);
  const password = textOf(auth.password) ?? textOf(point.password);
  const management = textOf(auth['key-management']) ?? (password === undefined ? 'none' : 'psk');
  if (management === 'none') return { kind: 'open' };
  if (management === 'eap' || management === '802.1x') return eapSecurityOf(auth);
  if (password === undefined) return 'its password is missing';
  if (management === 'psk') return { kind: 'psk', psk: new Secret(password) };
  return management === 'sae'
    ? { kind: 'sae', psk: new Secret(password) }
    : `its key management ${quoted(management)} is not taken over`;
}

/** Undefined where an interface needs none. */
function wiredEapOf(auth: Tree): EapSettings | string | undefined {
  const management = textOf(auth['key-management']) ?? (auth.method === undefined ? 'none' : '802.1x');
  if (management === 'none') return undefined;
  return management === '802.1x' || management === 'eap'
    ? eapOf(auth)
    : `its key management ${quoted(management)} is not taken over`;
}

function eapSecurityOf(auth: Tree): WifiSecurity | string {
  const eap = eapOf(auth);
  return typeof eap === 'string' ? eap : { kind: 'eap', eap };
}

function eapOf(auth: Tree): EapSettings | string {
  const method = textOf(auth.method);
  if (method === undefined) return 'it names no EAP method';
  const secret = (key: string): Secret | undefined => {
    const value = textOf(auth[key]);
    return value === undefined ? undefined : new Secret(value);
  };
  const file = (key: string) => {
    const path = textOf(auth[key]);
    return path === undefined ? undefined : { path };
  };
  return withoutUndefined<EapSettings>({
    methods: [method.toLowerCase()],
    identity: textOf(auth.identity),
    anonymousIdentity: textOf(auth['anonymous-identity']),
    password: secret('password'),
    phase2: textOf(auth['phase2-auth'])?.toLowerCase(),
    domainSuffixMatch: undefined,
    caCertificate: file('ca-certificate'),
    clientCertificate: file('client-certificate'),
    privateKey: file('client-key'),
    privateKeyPassword: secret('client-key-password'),
  });
}
