// Decides which proxy moves, and writes the files by which balenaOS uses it. Pure.
import { isIPv4, isIPv6 } from 'node:net';
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import { cidr } from './addresses.ts';
import { type ProxyServer, parseProxy } from './parse-proxy.ts';
import type { ProxyEnvironment, ProxySources } from './proxy-sources.ts';

export interface ProxyFile {
  /** File name in system-proxy. */
  readonly name: 'redsocks.conf' | 'no_proxy';
  /** For people, without login and password. */
  readonly description: string;
  readonly contents: Secret;
}

export interface ProxyNotCarried {
  /** Whether programs of this system reach https servers through it, so that the device may be offline without it. */
  readonly isNeeded: boolean;
  readonly what: string;
  readonly reason: string;
  readonly source: string;
}

export interface ChosenProxy {
  readonly files: readonly ProxyFile[];
  readonly notCarried: readonly ProxyNotCarried[];
}

/**
 * The proxy for https counts, since balenaOS sends every TCP connection through one proxy, and its API and VPN are https. It moves
 * where all files that name one agree.
 */
export function chooseProxy({ environments, apt, scripts, unclear }: ProxySources): ChosenProxy {
  const notCarried: ProxyNotCarried[] = scripts.map(({ what, source }) => {
    return { isNeeded: false, what, reason: 'balenaOS runs no proxy scripts', source };
  });
  const found: { readonly proxy: ProxyServer; readonly source: string }[] = [];
  for (const environment of environments.filter((candidate) => !exceptsAll(candidate))) {
    const { source } = environment;
    const address = variableOf(environment, 'https_proxy') ?? variableOf(environment, 'all_proxy');
    const proxy = address === undefined ? undefined : parseProxy(address);
    if (typeof proxy === 'string')
      notCarried.push({ isNeeded: true, what: 'the proxy for https', reason: proxy, source });
    else if (proxy !== undefined) found.push({ proxy, source });
    else if (variableOf(environment, 'http_proxy') !== undefined) {
      const reason = 'https goes without one here, and balenaOS would send all through it';
      notCarried.push({ isNeeded: false, what: 'the proxy for http', reason, source });
    }
  }
  const [first] = found;
  if (first === undefined) {
    for (const source of unclear) {
      const reason = 'a script sets it under conditions, or computes it';
      notCarried.push({ isNeeded: false, what: 'a proxy', reason, source });
    }
  }
  const other = found.find(({ proxy }) => first !== undefined && redsocksConf(proxy) !== redsocksConf(first.proxy));
  if (first !== undefined && other !== undefined) {
    const reason = `${first.source} names another one, or another login for it`;
    notCarried.push({ isNeeded: true, what: `the proxy ${nameOf(other.proxy)}`, reason, source: other.source });
  }
  // Where any of them is needed and cannot move, the others are no answer.
  const carried = notCarried.some(({ isNeeded }) => isNeeded) ? undefined : first;
  if (first === undefined) {
    for (const source of new Set(apt.map((entry) => entry.source))) {
      const reason = 'it may be a cache for packages only';
      notCarried.push({ isNeeded: false, what: "apt's proxy", reason, source });
    }
  }
  if (carried === undefined) return { files: [], notCarried };
  const exceptions = exceptionsOf(environments);
  for (const { entry, source } of exceptions.others) {
    const reason = 'balenaOS takes IPv4 addresses and networks only';
    notCarried.push({ isNeeded: false, what: `the exception ${quoted(entry)} from the proxy`, reason, source });
  }
  const description = `proxy ${nameOf(carried.proxy)} from ${carried.source}`;
  const redsocks: ProxyFile = {
    name: 'redsocks.conf',
    description,
    contents: new Secret(redsocksConf(carried.proxy)),
  };
  if (exceptions.networks.length === 0) return { files: [redsocks], notCarried };
  const noProxy: ProxyFile = {
    name: 'no_proxy',
    description: `exceptions from ${description}`,
    contents: new Secret(`${exceptions.networks.join('\n')}\n`),
  };
  return { files: [redsocks, noProxy], notCarried };
}

function variableOf({ variables }: ProxyEnvironment, name: string): string | undefined {
  const value = variables.get(name)?.reveal();
  return value === '' ? undefined : value;
}

function entriesOf(environment: ProxyEnvironment): string[] {
  return (variableOf(environment, 'no_proxy') ?? '').split(/[,\s]+/).filter(Boolean);
}

function exceptsAll(environment: ProxyEnvironment): boolean {
  return entriesOf(environment).includes('*');
}

/**
 * Each line of no_proxy becomes a rule of iptables, and one that is none stops the proxy altogether (meta-balena,
 * balena-proxy-config). IPv6 is not sent through it, nor is what the device says to itself.
 */
function exceptionsOf(environments: readonly ProxyEnvironment[]): {
  networks: readonly string[];
  others: readonly { entry: string; source: string }[];
} {
  const networks = new Set<string>();
  const others: { entry: string; source: string }[] = [];
  for (const environment of environments) {
    for (const entry of entriesOf(environment)) {
      const [host = ''] = entry.split('/');
      const network = isIPv4(host) ? cidr(entry) : undefined;
      if (network !== undefined) networks.add(network.replace(/\/32$/, ''));
      else if (!isIPv6(host) && !/^(?:\.?localhost|localhost\.localdomain)$/i.test(entry))
        others.push({ entry, source: environment.source });
    }
  }
  return { networks: [...networks], others };
}

function nameOf({ type, host, port }: ProxyServer): string {
  return `${host}:${port} (${type})`;
}

/** As balena's supervisor writes it (src/host-config/proxy.ts). balenaOS has the local address and port built into its redsocks. */
function redsocksConf({ type, host, port, login, password }: ProxyServer): string {
  // A name that begins with a digit is only read in quotes (gettoken in redsocks' parser.c).
  const ip = isIPv4(host) || /^[a-z]/.test(host) ? host : `"${host}"`;
  return [
    'base {',
    '\tlog_debug = off;',
    '\tlog_info = on;',
    '\tlog = stderr;',
    '\tdaemon = off;',
    '\tredirector = iptables;',
    '}',
    '',
    'redsocks {',
    `\ttype = ${type};`,
    `\tip = ${ip};`,
    `\tport = ${port};`,
    ...(login === undefined ? [] : [`\tlogin = "${login.reveal()}";`]),
    ...(password === undefined ? [] : [`\tpassword = "${password.reveal()}";`]),
    '\tlocal_ip = 127.0.0.1;',
    '\tlocal_port = 12345;',
    '}',
    '',
  ].join('\n');
}
