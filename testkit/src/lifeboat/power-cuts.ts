// A machine whose plug is pulled at random moments, again and again, and then no more: what it ends as.
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { oldSystemUp } from '../debian-disk.ts';
import { type Pc, startPc } from '../pc.ts';
import { newSystem } from '../road/road.ts';

/** Of all moments that are chosen at random. Another one is tried with MIGRATE_CUTS_SEED. */
export const cutsSeed = Number(process.env.MIGRATE_CUTS_SEED ?? 20_261_121);

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
/** The last with its reason, whole; lines end with "\r\n". */
const rested = /NEWOS-DONE|OLD-SYSTEM-UP|migrate: FAILED[^\n]*\n/;

/** A machine that is switched off; its next start is stage 2. */
export interface ArmedMachine {
  readonly firmware: 'bios' | 'uefi';
  readonly memoryMib: number;
  /** Raw. */
  readonly disk: string;
  /** UEFI variables; there is none with BIOS. */
  readonly variables: string;
}

export interface CutRun {
  readonly end: End;
  /** Number of cuts that came before the machine had come to rest. */
  readonly cuts: number;
  readonly log: string;
}

/** So many milliseconds after a start, or after the console has shown something. */
export type Cut = number | { readonly after: RegExp; readonly milliseconds: number };

/** Switches a copy on, cuts its power once after each start, and then lets it come to rest. */
export async function runWithCuts(armed: ArmedMachine, cuts: readonly Cut[]): Promise<CutRun> {
  const directory = await mkdtemp(`${armed.disk}.copy-`);
  const disk = join(directory, 'disk.qcow2');
  const uefiVariables = join(directory, 'variables.fd');
  let log = '';
  try {
    await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', armed.disk, '-F', 'raw', disk]);
    if (armed.firmware === 'uefi') await copyFile(armed.variables, uefiVariables);
    for (let done = 0; ; done += 1) {
      const machine = await startPc({
        firmware: armed.firmware,
        memoryMib: armed.memoryMib,
        disks: [{ path: disk, format: 'qcow2', serial: 'BROWNFIELD', losesUnflushed: true }],
        // Boot entries and their order decide, as on a real machine: the lifeboat's is among them.
        ...(armed.firmware === 'uefi' ? { uefiVariables, bootsByVariables: true } : {}),
      });
      try {
        const cut = cuts[done];
        if (cut === undefined || (await rests(machine, cut)))
          return { end: await endOf(machine), cuts: done, log: log + machine.log() };
        log += `${machine.log()}\n--- power cut ${done + 1}, ${momentOf(cut)}\n`;
      } catch (thrown) {
        const why = thrown instanceof Error ? thrown.message : String(thrown);
        throw new Error(`${why}\nafter\n${`${log}${machine.log()}`.slice(-6000)}`);
      } finally {
        await machine.kill();
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Whether the machine has come to rest by then. */
async function rests(machine: Pc, cut: Cut): Promise<boolean> {
  if (typeof cut !== 'number') await shown(machine, cut.after);
  const milliseconds = typeof cut === 'number' ? cut : cut.milliseconds;
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return rested.test(machine.log());
}

function momentOf(cut: Cut): string {
  return typeof cut === 'number'
    ? `after ${Math.round(cut)} ms`
    : `${Math.round(cut.milliseconds)} ms after ${cut.after}`;
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
