// Where a system keeps its proxies: pam_env's /etc/environment, profiles of login shells, systemd's manager, apt, connections of
// NetworkManager.
import { quoted } from '../config/quoted.ts';
import type { HostReader } from '../host/host.ts';
import { Secret } from '../secret.ts';
import { parseIni } from './ini.ts';
import type { NativeConnection } from './network-manager.ts';
import { readProfileScript } from './profile-script.ts';

/** Proxy variables of one file, by their lower-case names; those in lower case count before their twins, as in curl. */
export interface ProxyEnvironment {
  readonly source: string;
  readonly variables: ReadonlyMap<string, Secret>;
}

/** What a system says of its proxies. Holds secrets. */
export interface ProxySources {
  readonly environments: readonly ProxyEnvironment[];
  /** Addresses that only apt uses: often a cache for packages, which is no way to other servers. */
  readonly apt: readonly { readonly source: string; readonly address: Secret }[];
  /** Connections that choose a proxy by a script (PAC). */
  readonly scripts: readonly { readonly source: string; readonly what: string }[];
  /** Profiles that set a proxy in a way that only running them would tell. */
  readonly unclear: readonly string[];
}

const variableName = /^(?:https?|all|no)_proxy$/i;

export async function collectProxies(
  host: HostReader,
  readText: (path: string) => Promise<string | undefined>,
  connections: readonly NativeConnection[],
): Promise<ProxySources> {
  const filesIn = async (directory: string): Promise<string[]> =>
    [...(await host.list(directory))].sort().map((name) => `${directory}/${name}`);
  const environments: ProxyEnvironment[] = [];
  const add = (source: string, assignments: readonly Assignment[]): void => {
    const variables = proxyVariables(assignments);
    if (variables.size > 0) environments.push({ source, variables });
  };
  const environment = '/etc/environment';
  add(environment, readEnvironmentFile((await readText(environment)) ?? ''));
  const unclear: string[] = [];
  const profiles = (await filesIn('/etc/profile.d')).filter((path) => path.endsWith('.sh'));
  for (const path of ['/etc/profile', ...profiles]) {
    const { assignments, isUnclear } = readProfileScript((await readText(path)) ?? '');
    add(path, assignments);
    if (isUnclear) unclear.push(path);
  }
  const dropIns = (await filesIn('/etc/systemd/system.conf.d')).filter((path) => path.endsWith('.conf'));
  for (const path of ['/etc/systemd/system.conf', ...dropIns]) {
    add(path, readManagerEnvironment((await readText(path)) ?? ''));
  }
  const apt: { source: string; address: Secret }[] = [];
  for (const path of ['/etc/apt/apt.conf', ...(await filesIn('/etc/apt/apt.conf.d'))]) {
    for (const address of readAptProxies((await readText(path)) ?? '')) apt.push({ source: path, address });
  }
  const scripts = connections.flatMap(({ sections, source, id }) =>
    sections.some(({ name, settings }) => name === 'proxy' && settings.some(([key]) => key.startsWith('pac-')))
      ? [{ source, what: `the proxy script (PAC) of connection ${quoted(id)}` }]
      : [],
  );
  return { environments, apt, scripts, unclear };
}

type Assignment = readonly [name: string, value: string];

function proxyVariables(assignments: readonly Assignment[]): Map<string, Secret> {
  const found = assignments.filter(([name]) => variableName.test(name));
  const upperFirst = [...found].sort(([a], [b]) => Number(a === a.toLowerCase()) - Number(b === b.toLowerCase()));
  return new Map(upperFirst.map(([name, value]) => [name.toLowerCase(), new Secret(value)]));
}

/** pam_env(8): assignments, with or without "export" and quotes. */
function readEnvironmentFile(text: string): Assignment[] {
  return text.split('\n').flatMap((line) => {
    const [, name, value = ''] = /^\s*(?:export\s+)?(\w+)=(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, unquoted(value.replace(/\s#.*$/, '').trim())] as const];
  });
}

function unquoted(text: string): string {
  return /^(["'])(.*)\1$/.exec(text)?.[2] ?? text;
}

/** systemd-system.conf(5): DefaultEnvironment= and ManagerEnvironment=; an empty one takes back what stood before. */
function readManagerEnvironment(text: string): Assignment[] {
  let assignments: Assignment[] = [];
  for (const { name, settings } of parseIni(text)) {
    for (const [key, value] of settings) {
      if (name !== 'Manager' || !/^(?:Default|Manager)Environment$/.test(key)) continue;
      if (value === '') assignments = [];
      for (const word of value.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []) {
        // Specifiers begin with "%", so that one of an address is doubled.
        const [, variable, given = ''] = /^(\w+)=(.*)$/s.exec(word.replace(/["']/g, '').replaceAll('%%', '%')) ?? [];
        if (variable !== undefined) assignments.push([variable, given]);
      }
    }
  }
  return assignments;
}

/** apt.conf(5): `Acquire::http::Proxy "…";`, also with its names as nested groups. */
function readAptProxies(text: string): Secret[] {
  const lines = text.split('\n').filter((line) => !/^\s*(?:\/\/|#)/.test(line));
  return [...lines.join('\n').matchAll(/(?:^|[\s{:;])Proxy\s+"([^"]+)"/gi)].flatMap(([, address = '']) =>
    address.toUpperCase() === 'DIRECT' ? [] : [new Secret(address)],
  );
}
