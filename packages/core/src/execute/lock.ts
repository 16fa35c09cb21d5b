// One migration at a time on a machine. The lock names its holder, so that one left by a crash or reboot is recognised.
import { MigrateError } from '../error.ts';
import type { Host, HostReader } from '../host/host.ts';
import { readBootId } from './journal.ts';

interface LockHolder {
  readonly pid: number;
  readonly bootId: string;
  readonly since: string;
}

/** Runs `action` while holding the lock in `directory`, which is made before and removed after if nothing is left in it. */
export async function withLock<T>(host: Host, directory: string, action: () => Promise<T>): Promise<T> {
  const path = `${directory}/lock`;
  const isNew = (await host.status(directory)) === undefined;
  if (isNew) await host.makeDirectory(directory, 0o700);
  const removeIfEmpty = async (): Promise<void> => {
    if ((await host.list(directory)).length === 0) await host.removeDirectory(directory);
  };
  try {
    await takeLock(host, path);
  } catch (thrown) {
    if (isNew) await removeIfEmpty();
    throw thrown;
  }
  try {
    return await action();
  } finally {
    // What was done is done: a lock that cannot be removed is known as stale by its holder's end.
    await host
      .removeFile(path)
      .then(removeIfEmpty)
      .catch(() => {});
  }
}

/** The living holder of the lock, if there is one; writes nothing. */
export async function lockHolder(host: HostReader, directory: string): Promise<LockHolder | undefined> {
  const holder = parseHolder(await host.readText(`${directory}/lock`));
  if (holder === undefined || holder.bootId !== (await readBootId(host))) return undefined;
  const isAlive = host.processes?.isAlive(holder.pid) ?? (await host.status(`/proc/${holder.pid}`)) !== undefined;
  return isAlive ? holder : undefined;
}

async function takeLock(host: Host, path: string): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf('/'));
  const mine: LockHolder = { pid: process.pid, bootId: await readBootId(host), since: host.now().toISOString() };
  const contents = new TextEncoder().encode(`${JSON.stringify(mine)}\n`);
  for (let round = 0; ; round += 1) {
    try {
      await host.createExclusive(path, contents, 0o600);
      return;
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) || thrown.code !== 'locked') throw thrown;
      const holder = await lockHolder(host, directory);
      if (holder !== undefined || round > 0) {
        throw new MigrateError(
          'locked',
          `another migrate is at work on this machine (process ${holder?.pid ?? 'unknown'} since ${holder?.since ?? 'a moment ago'})`,
        );
      }
      await host.removeFile(path);
    }
  }
}

function parseHolder(text: string | undefined): LockHolder | undefined {
  try {
    const { pid, bootId, since } = JSON.parse(text ?? '') as Partial<Record<keyof LockHolder, unknown>>;
    if (typeof pid === 'number' && typeof bootId === 'string' && typeof since === 'string')
      return { pid, bootId, since };
  } catch {
    // A lock cut while it was written has no living holder.
  }
  return undefined;
}
