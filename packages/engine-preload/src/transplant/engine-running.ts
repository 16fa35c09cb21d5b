// An engine that runs on a data root keeps its tables in memory: what is put beside it is not seen, and may be overwritten.
import { type Host, type HostReader, MigrateError } from '@migrate/core';

/** A database that the engine holds locked (flock) as long as it runs, with or without volumes: moby, volume/service/db.go. */
const lockedDatabase = 'volumes/metadata.db';
const pidFiles = ['/run/docker.pid', '/run/balena-engine.pid', '/run/balena.pid', '/run/balenad.pid'];

/** Throws `busy` where an engine, or anything else, uses the data root at `root`; names the process where it can be known. */
export async function refuseRunningEngine(host: Host, root: string): Promise<void> {
  const realRoot = (await host.realPath(root)) ?? root;
  const refuse = (what: string): never => {
    throw new MigrateError(
      'busy',
      `${root} is in use: ${what}. Stop the engine (systemctl stop docker docker.socket containerd; on balenaOS: balena) first`,
    );
  };
  const users = await Promise.all(
    (await processIds(host)).map(async (pid) => ({ pid, file: await openFileBelow(host, pid, realRoot) })),
  );
  for (const { pid, file } of users) {
    if (file !== undefined) refuse(`process ${pid} (${await commandName(host, pid)}) has ${file} open`);
  }
  for (const point of await mountPointsBelow(host, realRoot)) refuse(`${point} is mounted, as by a running container`);
  for (const pidFile of pidFiles) {
    const pid = (await host.readText(pidFile))?.trim() ?? '';
    if (!/^\d+$/.test(pid)) continue;
    const used = await rootOfEngine(host, pid);
    if (used !== undefined && ((await host.realPath(used)) ?? used) === realRoot)
      refuse(`engine process ${pid} uses it`);
  }
  // Last, since it also finds an engine that sees the root under another path (balenaOS mounts it at two places).
  if (await isLocked(host, `${root}/${lockedDatabase}`)) refuse(`an engine holds ${lockedDatabase} locked`);
}

async function processIds(host: HostReader): Promise<readonly string[]> {
  return (await host.list('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
}

async function openFileBelow(host: HostReader, pid: string, root: string): Promise<string | undefined> {
  // A process may end, or refuse to be looked at, at any time; then it holds nothing that we could name.
  const names = await host.list(`/proc/${pid}/fd`).catch(() => []);
  for (const name of names) {
    const target = await host.readLink(`/proc/${pid}/fd/${name}`).catch(() => undefined);
    if (target?.startsWith(`${root}/`)) return target;
  }
  return undefined;
}

async function commandName(host: HostReader, pid: string): Promise<string> {
  return (await host.readText(`/proc/${pid}/comm`).catch(() => undefined))?.trim() ?? 'unknown';
}

async function mountPointsBelow(host: HostReader, root: string): Promise<readonly string[]> {
  // proc(5), /proc/pid/mountinfo: the fifth field, with spaces and the like as octal numbers.
  const lines = ((await host.readText('/proc/self/mountinfo')) ?? '').split('\n');
  return lines
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8))),
    )
    .filter((point) => point.startsWith(`${root}/`));
}

/** The data root that a living engine was started with; undefined where no such process lives. */
async function rootOfEngine(host: HostReader, pid: string): Promise<string | undefined> {
  const words = ((await host.readText(`/proc/${pid}/cmdline`).catch(() => undefined)) ?? '').split('\0');
  const name = words[0]?.split('/').at(-1) ?? '';
  if (!/^(dockerd|balenad|balena-engine.*|docker)$/.test(name)) return undefined;
  for (const [index, word] of words.entries()) {
    const [, inline] = /^(?:--data-root|--graph|-g)=(.*)$/.exec(word) ?? [];
    if (inline !== undefined) return inline;
    if (['--data-root', '--graph', '-g'].includes(word)) return words[index + 1];
  }
  return name.startsWith('balena') ? '/var/lib/balena-engine' : '/var/lib/docker';
}

/** False where there is no such file, or no flock(1) to ask with. */
async function isLocked(host: Host, path: string): Promise<boolean> {
  if ((await host.status(path))?.kind !== 'file') return false;
  try {
    await host.run('flock', ['--nonblock', '--conflict-exit-code', '77', path, 'true']);
    return false;
  } catch (thrown) {
    return thrown instanceof MigrateError && thrown.data.exitStatus === 77;
  }
}
