// Time and memory of a shell command with all of its processes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

export interface Measurement {
  readonly wallSeconds: number;
  /** User and system time of all processes. */
  readonly cpuSeconds: number;
  /** Peak resident memory of the largest process. */
  readonly peakRssMib: number;
}

const pollMs = 5;

/** Runs a command line in bash; throws with its stderr where it fails. */
export async function measure(commandLine: string): Promise<Measurement> {
  const script = `set -o pipefail; TIMEFORMAT='TIMES %R %U %S'; time { ${commandLine}; }`;
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'ignore', 'pipe'] });
  const stderr: Buffer[] = [];
  child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
  let peakKib = 0;
  const timer = setInterval(() => {
    for (const pid of descendants(child.pid ?? 0)) peakKib = Math.max(peakKib, peakRssKib(pid));
  }, pollMs);
  const [status] = (await once(child, 'close')) as [number | null];
  clearInterval(timer);
  const text = Buffer.concat(stderr).toString();
  if (status !== 0) throw new Error(`${commandLine}: status ${status}\n${text}`);
  const [, real = 0, user = 0, system = 0] = (/TIMES (\S+) (\S+) (\S+)/.exec(text) ?? []).map(Number);
  return { wallSeconds: real, cpuSeconds: user + system, peakRssMib: peakKib / 1024 };
}

function descendants(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
        .split(' ')
        .filter((word) => word !== '')
        .flatMap((child) => [Number(child), ...descendants(Number(child))]),
    );
  } catch {
    // It has ended since it was listed.
    return [];
  }
}

function peakRssKib(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

export function median(values: readonly number[]): number {
  const ordered = [...values].sort((a, b) => a - b);
  const middle = Math.floor(ordered.length / 2);
  const upper = ordered[middle] ?? Number.NaN;
  return ordered.length % 2 === 1 ? upper : ((ordered[middle - 1] ?? Number.NaN) + upper) / 2;
}
