// Hardware that resets a machine unless it is fed in time. Attributes: Documentation/ABI/testing/sysfs-class-watchdog.
import type { HostReader } from '../host/host.ts';

export interface Watchdog {
  /** Its device under the running kernel: /dev/watchdog0. */
  readonly path: string;
  /** The hardware behind it in sysfs, where its driver says so. */
  readonly hardware?: string;
  /** What its driver calls it; absent before Linux 4.5. */
  readonly identity?: string;
  /** Whether a program has opened it, so that it counts down; absent before Linux 4.5. */
  readonly isRunning?: boolean;
  readonly canBeStopped?: boolean;
  readonly timeoutSeconds?: number;
}

/** All watchdogs that have a driver. Nothing is opened: opening one starts it. */
export async function inspectWatchdogs(host: HostReader): Promise<readonly Watchdog[]> {
  const watchdogs: Watchdog[] = [];
  for (const name of await host.list('/sys/class/watchdog')) {
    const directory = `/sys/class/watchdog/${name}`;
    const attribute = async (file: string): Promise<string | undefined> =>
      (await host.readText(`${directory}/${file}`))?.trim();
    const hardware = await host.realPath(`${directory}/device`);
    const identity = await attribute('identity');
    const state = await attribute('state');
    const nowayout = await attribute('nowayout');
    const timeout = Number(await attribute('timeout'));
    watchdogs.push({
      path: `/dev/${name}`,
      ...(hardware === undefined ? {} : { hardware }),
      ...(identity === undefined ? {} : { identity }),
      ...(state === undefined ? {} : { isRunning: state === 'active' }),
      ...(nowayout === undefined ? {} : { canBeStopped: nowayout === '0' }),
      ...(timeout > 0 ? { timeoutSeconds: timeout } : {}),
    });
  }
  return watchdogs;
}
