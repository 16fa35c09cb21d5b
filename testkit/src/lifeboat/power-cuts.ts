// A machine whose plug is pulled at random moments, again and again, and then no more: what it ends as.
import { oldSystemUp } from '../debian-disk.ts';
import type { Pc } from '../pc.ts';
import { newSystem } from '../road/road.ts';
import type { ArmedMachine } from './armed-machine.ts';

/** How a machine may end. */
export type End = 'old-intact' | 'new-complete';

/** Reproducible numbers from 0 to 1: mulberry32, which is public domain. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const restMs = 600_000;
const rested = /NEWOS-DONE|OLD-SYSTEM-UP|migrate: FAILED/;

/** Where a cut comes: so long after the console has shown a text, for the first start and those after it. */
export interface Cut {
  readonly after: RegExp;
  readonly milliseconds: number;
}

export interface CutRun {
  readonly end: End;
  /** Number of cuts that came before the machine had rested. */
  readonly cuts: number;
  readonly log: string;
}

/** Switches a copy on, cuts its power as listed, and lets it come to rest. */
export async function runWithCuts(armed: ArmedMachine, cuts: readonly Cut[]): Promise<CutRun> {
  const copy = await armed.copy();
  let log = '';
  try {
    for (let done = 0; ; done += 1) {
      const machine = await copy.start();
      try {
        const cut = cuts[done];
        if (cut === undefined || !(await isTimeToCut(machine, cut)))
          return { end: await endOf(machine), cuts: done, log: log + machine.log() };
        log += `${machine.log()}\n--- power cut ${done + 1}: ${cut.milliseconds} ms after ${cut.after}\n`;
      } catch (thrown) {
        const why = thrown instanceof Error ? thrown.message : String(thrown);
        throw new Error(`${why}\nafter\n${`${log}${machine.log()}`.slice(-6000)}`);
      } finally {
        await machine.kill();
      }
    }
  } finally {
    await copy.remove();
  }
}

/** False where the machine has come to rest before. */
async function isTimeToCut(machine: Pc, { after, milliseconds }: Cut): Promise<boolean> {
  await shown(machine, new RegExp(`${after.source}|${rested.source}`));
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return !rested.test(machine.log());
}

async function endOf(machine: Pc): Promise<End> {
  const found = await shown(machine, rested);
  if (found === 'OLD-SYSTEM-UP') {
    await oldSystemUp(machine);
    // Its own programs are whole, and what stage 1 prepared can be taken back.
    await machine.runShell('cd /root/migration && ./migrate-linux-x64/migrate undo && test ! -e /boot/balena-migrate');
    return 'old-intact';
  }
  if (found !== 'NEWOS-DONE') throw new Error('the machine waits for help');
  const { isRootIntact, configJson } = await newSystem(machine);
  if (!isRootIntact || !configJson.includes('canary-api-key')) throw new Error('the new system is not complete');
  return 'new-complete';
}

/** Waits for a text anywhere in what the console has shown, and leaves it to be waited for again. */
async function shown(machine: Pc, pattern: RegExp): Promise<string> {
  const endMs = Date.now() + restMs;
  for (;;) {
    const [found] = pattern.exec(machine.log()) ?? [];
    if (found !== undefined) return found;
    if (Date.now() > endMs) throw new Error(`${restMs} ms passed without ${pattern}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
