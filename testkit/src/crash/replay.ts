// Rebuilds a disk as each power cut would have left it.
import { type FileHandle, open } from 'node:fs/promises';
import { execa } from 'execa';
import { type CrashState, crashStates } from './crash-states.ts';
import { openWriteLog, type WriteLog } from './write-log.ts';

export interface ReplayRequest {
  /** The disk as it was before the first write. */
  readonly base: string;
  readonly log: string;
  /** A file for the states; it is made anew for each. */
  readonly work: string;
  readonly unitBytes: number;
  /** Only every so many-th state, for what takes long to check; 1 where it is left out. */
  readonly every?: number;
}

/** Calls `check` with each state, which `work` holds then, and counts what it says. */
export async function replay(
  { base, log, work, unitBytes, every = 1 }: ReplayRequest,
  check: (state: CrashState) => Promise<string>,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const writes = await openWriteLog(log);
  const durable = `${work}.durable`;
  await copySparse(base, durable);
  try {
    let applied = 0;
    let number = 0;
    for (const state of crashStates(writes.entries, { unitBytes })) {
      number += 1;
      if (number % every !== 0) continue;
      applied = await advance(writes, { durable, from: applied, to: state.complete });
      await copySparse(durable, work);
      await withFile(work, async (file) => {
        for (const { entry, sizeBytes } of state.arrived) await apply(writes, { entry, sizeBytes }, file);
      });
      const said = await check(state);
      counts[said] = (counts[said] ?? 0) + 1;
    }
    return counts;
  } finally {
    await writes.close();
  }
}

async function advance(
  writes: WriteLog,
  { durable, from, to }: { durable: string; from: number; to: number },
): Promise<number> {
  await withFile(durable, async (file) => {
    for (const entry of writes.entries.slice(from, to))
      await apply(writes, { entry, sizeBytes: entry.sizeBytes }, file);
  });
  return to;
}

async function apply(
  writes: WriteLog,
  { entry, sizeBytes }: CrashState['arrived'][number],
  file: FileHandle,
): Promise<void> {
  if (sizeBytes > 0) await file.write(await writes.data(entry, 0, sizeBytes), 0, sizeBytes, entry.startByte);
}

async function withFile(path: string, action: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await action(file);
  } finally {
    await file.close();
  }
}

function copySparse(from: string, to: string): Promise<unknown> {
  return execa('cp', ['--sparse=always', from, to]);
}
