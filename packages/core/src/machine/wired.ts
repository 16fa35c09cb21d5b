// Wired interfaces in use, over which stage 2 may send its log.
import type { HostReader } from '../host/host.ts';

export interface WiredInterface {
  /** Its name under the running system; stage 2 finds it by its address. */
  readonly name: string;
  /** Hardware address, lower case. */
  readonly mac: string;
}

/** Interfaces of hardware that are up and no Wi-Fi, with the real paths of their devices in sysfs. */
export async function inspectWired(
  host: HostReader,
): Promise<readonly (WiredInterface & { readonly device: string })[]> {
  const found: (WiredInterface & { device: string })[] = [];
  for (const name of await host.list('/sys/class/net')) {
    const directory = `/sys/class/net/${name}`;
    const read = async (file: string): Promise<string> => ((await host.readText(`${directory}/${file}`)) ?? '').trim();
    // Bridges, bonds, VLANs and tunnels have no device of their own.
    const device = await host.realPath(`${directory}/device`);
    if (device === undefined || (await host.status(`${directory}/phy80211`)) !== undefined) continue;
    // ARPHRD_ETHER of include/uapi/linux/if_arp.h.
    if ((await read('type')) !== '1' || (await read('operstate')) !== 'up') continue;
    const mac = (await read('address')).toLowerCase();
    if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) found.push({ name, mac, device });
  }
  return found;
}
