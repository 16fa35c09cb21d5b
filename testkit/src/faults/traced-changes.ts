// Every call by which a program changes files, counted by strace(1), and faults in any one of them: an error that the kernel would
// give, or the death of the program. Calls are counted for each file: what a program reads, or prints, does not shift the count.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gatedRun, openGate, withTracedRun } from './fault-gate.ts';
import type { OldSystem, RunResult } from './old-system.ts';

const changingCalls = [
  ...['mkdir', 'openat', 'write', 'pwrite64', 'writev', 'pwritev', 'ftruncate', 'fallocate', 'fchmod', 'fchown'],
  ...['utimensat', 'fsync', 'fdatasync', 'rename', 'unlink', 'rmdir', 'link', 'symlink'],
] as const;

export type ChangingCall = (typeof changingCalls)[number];

export interface FileChange {
  readonly call: ChangingCall;
  /** In the old system. */
  readonly path: string;
  /** The how-manieth call of this name on this path, from 1. */
  readonly ordinal: number;
  /** A program that the first one starts makes the change: in its how-manieth run, from 1. */
  readonly childRun?: number;
}

/** What is to happen instead of the call. 'KILL-CHILD' is for changes by a child, and kills it alone. */
export type Fault = 'ENOSPC' | 'EIO' | 'EROFS' | 'KILL' | 'KILL-CHILD';

/** Runs a program and returns all changes that it made to files of the old system, in their order. */
export async function recordChanges(
  system: OldSystem,
  argv: readonly string[],
): Promise<{ readonly result: RunResult; readonly changes: readonly FileChange[] }> {
  await openGate(system.root);
  const { result, logs } = await traced(system, argv, [stopsRarely, '-e', `trace=${changingCalls.join(',')}`]);
  // One thread makes all file operations; the others only wake each other.
  return { result, changes: logs.flatMap((log) => parseChanges(log, system.root)) };
}

/** Runs a program with a fault in place of one change; `wasInjected` tells whether it came so far. */
export async function runWithFault(
  system: OldSystem,
  argv: readonly string[],
  { change, fault }: { change: FileChange; fault: Fault },
): Promise<RunResult & { readonly wasInjected: boolean }> {
  const { call, path, ordinal, childRun } = change;
  const isDeadly = fault === 'KILL' || fault === 'KILL-CHILD';
  const inject = `inject=${call}:${isDeadly ? 'signal=KILL' : `error=${fault}`}:when=${ordinal}`;
  const options = ['-P', path, '-e', `trace=${call}`, '-e', inject];
  const mark = isDeadly ? '+++ killed by SIGKILL +++' : '(INJECTED)';
  if (childRun !== undefined) {
    const traced = { run: childRun, options, killsStarter: fault === 'KILL' };
    const { result, log } = await withTracedRun(system.root, traced, () => system.run(argv));
    return { ...result, wasInjected: log.includes(mark) };
  }
  const faster = isDeadly ? [] : [stopsRarely];
  // By name a file is known as the program sees it, by descriptor as this machine does.
  const { result, logs } = await traced(system, argv, [...faster, '-P', `${system.root}${path}`, ...options]);
  return { ...result, wasInjected: logs.some((log) => log.includes(mark)) };
}

/** Without it every call of the program stops; with it strace 6.1 loses the signals that it injects. */
const stopsRarely = '--seccomp-bpf';

async function traced(
  system: OldSystem,
  argv: readonly string[],
  options: readonly string[],
): Promise<{ result: RunResult; logs: readonly string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'traced-'));
  try {
    const around = ['strace', '-ff', '-qq', '-y', '-o', join(directory, 'log'), ...options];
    const result = await system.run(argv, { around });
    const logs: string[] = [];
    for (const name of await readdir(directory)) logs.push(await readFile(join(directory, name), 'utf8'));
    return { result, logs };
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Lines like `mkdir("/boot/x", 0700) = 0`, `fsync(18</root/boot>) = 0`, `openat(AT_FDCWD</root>, "/boot/y", O_WRONLY|…`. */
function parseChanges(log: string, root: string): FileChange[] {
  const counts = new Map<string, number>();
  const changes: FileChange[] = [];
  const childRun = gatedRun(log);
  const who = childRun === undefined ? {} : { childRun };
  for (const line of log.split('\n')) {
    const call = changingCalls.find((name) => line.startsWith(`${name}(`));
    if (call === undefined) continue;
    const paths = pathsOf(line, root);
    for (const path of paths) counts.set(`${call} ${path}`, (counts.get(`${call} ${path}`) ?? 0) + 1);
    const [path] = paths;
    const reads = call === 'openat' && !/O_(WRONLY|RDWR|CREAT)/.test(line);
    if (path === undefined || reads || /^\/(dev|proc|sys|run)\//.test(path)) continue;
    changes.push({ call, path, ordinal: counts.get(`${call} ${path}`) ?? 0, ...who });
  }
  return changes;
}

/** Paths in the old system that a call names or whose descriptor it has; none for pipes and the like. */
function pathsOf(line: string, root: string): readonly string[] {
  const descriptor = /^\w+\(\d+<([^>]*)>/.exec(line)?.[1];
  if (descriptor !== undefined) return descriptor.startsWith(`${root}/`) ? [descriptor.slice(root.length)] : [];
  const [names = ''] = line.split(' = ');
  return [...names.matchAll(/"((?:[^"\\]|\\.)*)"/g)].flatMap(([, name]) => (name?.startsWith('/') ? [name] : []));
}
