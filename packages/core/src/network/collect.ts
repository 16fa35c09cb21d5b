// Reads all sources of a machine. What each means is decided by their own readers, and together in choose-profiles.ts.

import { isSystemError, MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import { readConnmanConfig, readConnmanSettings } from './connman.ts';
import { readDhcpcd } from './dhcpcd.ts';
import { parseInterfaces, readInterfaces } from './ifupdown.ts';
import { inspectInterfaces, type NetworkInterface } from './interfaces.ts';
import { readNetplan } from './netplan.ts';
import { certificatePaths, type NativeConnection, readNativeConnection } from './network-manager.ts';
import { readNetworkd } from './networkd.ts';
import { eapFiles, type NetworkReading, type NotCarried, type WiredAuthentication } from './profile.ts';
import { collectProxies, type ProxySources } from './proxy-sources.ts';
import { readWpaSupplicant } from './wpa-supplicant.ts';

/** All that the old system says of its networks. Holds secrets. */
export interface NetworkSources extends NetworkReading {
  readonly authentications: readonly WiredAuthentication[];
  readonly native: readonly NativeConnection[];
  readonly proxies: ProxySources;
  readonly hardware: readonly NetworkInterface[];
  readonly certificates: ReadonlyMap<string, Uint8Array>;
}

const certificateLimitBytes = 256 * 1024;
const fileLimitBytes = 1024 * 1024;

export async function collectNetworks(host: HostReader): Promise<NetworkSources> {
  const readings = [
    ...(await readDirectories(host, ['/etc/wpa_supplicant'], /\.conf$/, (text, path) =>
      readWpaSupplicant(text, path, interfaceOf(path)),
    )),
    ...(await readDirectories(host, ['/var/lib/connman'], /\.config$/, readConnmanConfig)),
    ...(await connmanServices(host)),
    ...(await networkdFiles(host)),
    ...(await readDirectories(host, ['/etc'], /^dhcpcd\.conf$/, readDhcpcd)),
    ...(await ifupdownFiles(host)),
    await netplanFiles(host),
  ];
  const natives = await nativeConnections(host);
  const native = natives.filter((found) => 'sections' in found);
  const authentications = readings.flatMap((reading) => reading.authentications ?? []);
  const certificates = await readCertificates(host, [
    ...readings
      .flatMap(({ wifis }) => wifis)
      .flatMap(({ security }) => (security.kind === 'eap' ? eapFiles(security.eap) : [])),
    ...authentications.flatMap(({ eap }) => eapFiles(eap)),
    ...native.flatMap(certificatePaths),
  ]);
  return {
    wifis: readings.flatMap(({ wifis }) => wifis),
    interfaces: readings.flatMap(({ interfaces }) => interfaces),
    authentications,
    notCarried: [...readings.flatMap(({ notCarried }) => notCarried), ...natives.filter((found) => 'reason' in found)],
    native,
    proxies: await collectProxies(host, (path) => textOf(host, path), native),
    hardware: await inspectInterfaces(host),
    certificates,
  };
}

/** "wpa_supplicant-wlan0.conf" is for wlan0, as its systemd unit has it. */
function interfaceOf(path: string): { name?: string } {
  const name = /\/wpa_supplicant(?:-nl80211|-wired)?-([^/]+)\.conf$/.exec(path)?.[1];
  return name === undefined ? {} : { name };
}

async function textOf(host: HostReader, path: string): Promise<string | undefined> {
  const status = await host.status(path);
  if (status?.kind !== 'file' || status.sizeBytes > fileLimitBytes) return undefined;
  return host.readText(path);
}

async function readDirectories(
  host: HostReader,
  directories: readonly string[],
  pattern: RegExp,
  read: (text: string, path: string) => NetworkReading,
): Promise<NetworkReading[]> {
  const readings: NetworkReading[] = [];
  for (const directory of directories) {
    for (const name of (await host.list(directory)).filter((candidate) => pattern.test(candidate))) {
      const text = await textOf(host, `${directory}/${name}`);
      if (text !== undefined) readings.push(read(text, `${directory}/${name}`));
    }
  }
  return readings;
}

async function connmanServices(host: HostReader): Promise<NetworkReading[]> {
  const readings: NetworkReading[] = [];
  for (const service of await host.list('/var/lib/connman')) {
    if (!/^(?:wifi|ethernet)_/.test(service)) continue;
    const path = `/var/lib/connman/${service}/settings`;
    const text = await textOf(host, path);
    if (text !== undefined) readings.push(readConnmanSettings(text, path, service));
  }
  return readings;
}

/** A file of the same name in /etc replaces the one in /run and /usr/lib (systemd.network(5)); the latter are distributions' defaults. */
async function networkdFiles(host: HostReader): Promise<NetworkReading[]> {
  const readings: NetworkReading[] = [];
  const seen = new Set<string>();
  for (const directory of ['/etc/systemd/network', '/run/systemd/network']) {
    for (const name of (await host.list(directory)).filter((candidate) => candidate.endsWith('.network'))) {
      const text = seen.has(name) ? undefined : await textOf(host, `${directory}/${name}`);
      if (text === undefined) continue;
      seen.add(name);
      const parts = [text];
      for (const dropIn of (await host.list(`${directory}/${name}.d`)).filter((candidate) =>
        candidate.endsWith('.conf'),
      ))
        parts.push((await textOf(host, `${directory}/${name}.d/${dropIn}`)) ?? '');
      readings.push(readNetworkd(parts.join('\n'), `${directory}/${name}`));
    }
  }
  return readings;
}

async function netplanFiles(host: HostReader): Promise<NetworkReading> {
  const files = new Map<string, { path: string; text: string }>();
  for (const directory of ['/lib/netplan', '/etc/netplan', '/run/netplan']) {
    for (const name of (await host.list(directory)).filter((candidate) => /\.ya?ml$/.test(candidate))) {
      const text = await textOf(host, `${directory}/${name}`);
      if (text !== undefined) files.set(name, { path: `${directory}/${name}`, text });
    }
  }
  return readNetplan([...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file));
}

/** How deep files may draw in further files. */
const maximumSourceDepth = 4;

async function ifupdownFiles(host: HostReader): Promise<NetworkReading[]> {
  const readings: NetworkReading[] = [];
  const seen = new Set<string>();
  const read = async (path: string, depth: number): Promise<void> => {
    const text = seen.has(path) || depth > maximumSourceDepth ? undefined : await textOf(host, path);
    if (text === undefined) return;
    seen.add(path);
    const file = parseInterfaces(text);
    readings.push(readInterfaces(file, path));
    for (const { kind, pattern } of file.sources) {
      const absolute = pattern.startsWith('/') ? pattern : `/etc/network/${pattern}`;
      const directory = kind === 'source' ? absolute.slice(0, absolute.lastIndexOf('/')) : absolute;
      const last = absolute.slice(absolute.lastIndexOf('/') + 1);
      // interfaces(5): source-directory takes only names of letters, digits, "_" and "-".
      const isWanted = (name: string): boolean =>
        kind === 'source-directory'
          ? /^[\w-]+$/.test(name)
          : last.includes('*')
            ? !name.startsWith('.') && globOf(last).test(name)
            : name === last;
      for (const name of (await host.list(directory)).filter(isWanted)) await read(`${directory}/${name}`, depth + 1);
    }
  };
  await read('/etc/network/interfaces', 0);
  return readings;
}

function globOf(pattern: string): RegExp {
  return new RegExp(`^${pattern.replace(/[\\^$.|+()[\]{}?]/g, '\\$&').replace(/\*+/g, '.*')}$`);
}

async function nativeConnections(host: HostReader): Promise<(NativeConnection | NotCarried)[]> {
  const directory = '/etc/NetworkManager/system-connections';
  const found: (NativeConnection | NotCarried)[] = [];
  for (const name of await host.list(directory)) {
    if (name.startsWith('.') || name.endsWith('~')) continue;
    const text = await textOf(host, `${directory}/${name}`);
    if (text !== undefined) found.push(readNativeConnection(text, `${directory}/${name}`));
  }
  return found;
}

/** Those that cannot be read are left out; the networks that need them then say so. */
async function readCertificates(host: HostReader, paths: readonly string[]): Promise<Map<string, Uint8Array>> {
  const certificates = new Map<string, Uint8Array>();
  for (const path of new Set(paths)) {
    try {
      certificates.set(path, await host.readFile(path, { limitBytes: certificateLimitBytes }));
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) && !isSystemError(thrown)) throw thrown;
    }
  }
  return certificates;
}
