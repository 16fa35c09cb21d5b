// Faults in programs that migrate starts in the old system. strace counts calls for each process anew, so that it cannot aim at the
// second run of a program: a script in place of the bundle's loader counts the runs, and has strace in one of them only.
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';

/** In the old system. /run is a file system of its own there. */
const directory = '/run/gate';
/** The only program that changes files for stage 1. Its first arguments are the loader's. */
const program = 'fallocate';

/** The script; it makes no process of its own. */
export function gateScript(loader: string): string {
  return `#!/bin/sh
set -- ${loader} "$@"
case "$*" in
*/${program}\\ *)
  read -r runs <${directory}/runs
  runs=$((runs + 1))
  echo $runs >${directory}/runs
  [ -e ${directory}/fault-$runs ] && . ${directory}/fault-$runs
  ;;
esac
exec "$@"
`;
}

/** In what strace recorded of a process, the number of the run that it was; undefined where the gate did not count it. */
export function gatedRun(log: string): number | undefined {
  const run = new RegExp(`^write\\(1<[^>]*${directory}/runs>, "(\\d+)`, 'm').exec(log)?.[1];
  return run === undefined ? undefined : Number(run);
}

/** Puts strace, with its libraries, where the script has it. */
export async function placeGate(root: string): Promise<void> {
  const place = join(root, directory);
  await mkdir(place);
  const { stdout: libraries } = await execa('ldd', ['/usr/bin/strace']);
  for (const [path] of libraries.matchAll(/\/\S+/g)) await cp(path, join(place, basename(path)), { dereference: true });
  await cp('/usr/bin/strace', join(place, 'strace'));
  await openGate(root);
}

const tracer = [`${directory}/ld-linux-x86-64.so.2`, '--library-path', directory, `${directory}/strace`];

/** From now on runs are counted from 1, and none meets a fault. */
export async function openGate(root: string): Promise<void> {
  await writeFile(join(root, directory, 'runs'), '0\n');
}

/**
 * Has a run traced with such options of strace while `action` goes on, and returns strace's log, which is empty where the run did
 * not come. `killsStarter`: what started the program dies with it.
 */
export async function withTracedRun<T>(
  root: string,
  { run, options, killsStarter }: { run: number; options: readonly string[]; killsStarter: boolean },
  action: () => Promise<T>,
): Promise<{ readonly result: T; readonly log: string }> {
  const fault = join(root, directory, `fault-${run}`);
  const log = join(root, directory, 'log');
  const command = `${[...tracer, '-qq', '-o', `${directory}/log`, ...options].map((word) => `'${word}'`).join(' ')} "$@"`;
  await openGate(root);
  await writeFile(log, '');
  await writeFile(fault, killsStarter ? `${command}\nkill -KILL $PPID\nexit 1\n` : `exec ${command}\n`);
  try {
    return { result: await action(), log: await readFile(log, 'utf8') };
  } finally {
    await rm(fault);
  }
}
