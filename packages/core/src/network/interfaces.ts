// The network interfaces of the running machine: /sys/class/net (Documentation/ABI/testing/sysfs-class-net).
import type { HostReader } from '../host/host.ts';
import type { InterfaceMatch } from './profile.ts';

export interface NetworkInterface {
  readonly name: string;
  /** Lower-case; of USB and PCI interfaces, which keep theirs. */
  readonly mac: string;
  readonly isWireless: boolean;
}

/** Interfaces with hardware behind them; bridges, tunnels and the like are left out. */
export async function inspectInterfaces(host: HostReader): Promise<readonly NetworkInterface[]> {
  const found: NetworkInterface[] = [];
  for (const name of await host.list('/sys/class/net')) {
    const path = `/sys/class/net/${name}`;
    if ((await host.status(`${path}/device`)) === undefined) continue;
    const mac = ((await host.readText(`${path}/address`)) ?? '').trim().toLowerCase();
    const isWireless =
      (await host.status(`${path}/wireless`)) !== undefined || (await host.status(`${path}/phy80211`)) !== undefined;
    if (/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/.test(mac)) found.push({ name, mac, isWireless });
  }
  return found;
}

/** The interfaces that a source's words are for. */
export function matching(interfaces: readonly NetworkInterface[], match: InterfaceMatch): readonly NetworkInterface[] {
  return interfaces.filter(
    ({ name, mac }) =>
      (match.mac === undefined || match.mac === mac) && (match.name === undefined || isGlobMatch(match.name, name)),
  );
}

/** "*" and "?" only, in time linear in the length of both. */
function isGlobMatch(pattern: string, text: string): boolean {
  const escaped = pattern
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replaceAll('?', '.');
  return pattern.length < 64 && new RegExp(`^${escaped}$`).test(text);
}
