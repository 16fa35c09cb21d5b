// A disk as each power cut would have left it, looked at without making a copy for each.
import { type FileHandle, open } from 'node:fs/promises';
import { execa } from 'execa';
import { type ArrivedWrite, type CrashState, crashStates } from './crash-states.ts';
import { type LoggedWrite, openWriteLog, type WriteLog, type WriteLogOptions } from './write-log.ts';

export interface DiskState extends CrashState {
  /** Bytes of the disk in this state. */
  read(startByte: number, sizeBytes: number): Promise<Buffer>;
  /** Whether anything of `touchedFrom` on was written there, whatever it was. */
  isTouched(range: { readonly startByte: number; readonly endByte: number }): boolean;
  /** Gives the path of a disk in this state, for as long as `look` takes. */
  materialise<T>(look: (path: string) => Promise<T>): Promise<T>;
}

export interface DiskStatesRequest extends WriteLogOptions {
  /** The disk as it was before the first entry. */
  readonly base: string;
  readonly log: string;
  /** A file that is made and changed. */
  readonly work: string;
  readonly unitBytes: number;
  /** Only states in which all entries before this one have arrived. */
  readonly from?: number;
  /** The first entry that `isTouched` counts; `from` where it is left out. */
  readonly touchedFrom?: number;
  /** Only states in which none from this one on has arrived. */
  readonly to?: number;
  /** Which states are looked at; all where it is left out. */
  readonly chooses?: (state: CrashState, number: number) => boolean;
}

/** How many states there are. */
export async function countStates(request: Omit<DiskStatesRequest, 'chooses'>): Promise<number> {
  let total = 0;
  const chooses = (): boolean => {
    total += 1;
    return false;
  };
  await examineStates({ ...request, chooses }, async () => '');
  return total;
}

/** Calls `check` with each state and counts what it says. */
export async function examineStates(
  {
    base,
    log,
    work,
    unitBytes,
    from = 0,
    touchedFrom = from,
    to = Number.POSITIVE_INFINITY,
    chooses = () => true,
    ...options
  }: DiskStatesRequest,
  check: (state: DiskState) => Promise<string>,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const writes = await openWriteLog(log, options);
  await execa('cp', ['--sparse=always', base, work]);
  const file = await open(work, 'r+');
  try {
    let applied = 0;
    let number = 0;
    for (const state of crashStates(writes.entries.slice(0, Math.min(to, writes.entries.length)), { unitBytes })) {
      if (state.complete < from) continue;
      number += 1;
      if (!chooses(state, number)) continue;
      for (const entry of writes.entries.slice(applied, state.complete))
        await put(writes, file, { entry, sizeBytes: entry.sizeBytes });
      applied = Math.max(applied, state.complete);
      const said = await check(
        viewOf(state, { writes, file, work, touched: new Set(writes.entries.slice(touchedFrom)) }),
      );
      counts[said] = (counts[said] ?? 0) + 1;
    }
    return counts;
  } finally {
    await file.close();
    await writes.close();
  }
}

interface Surroundings {
  readonly writes: WriteLog;
  /** The disk with all that is complete. */
  readonly file: FileHandle;
  readonly work: string;
  readonly touched: ReadonlySet<LoggedWrite>;
}

function viewOf(state: CrashState, { writes, file, work, touched }: Surroundings): DiskState {
  const { arrived, complete } = state;
  return {
    ...state,
    read: async (startByte, sizeBytes) => {
      const bytes = Buffer.alloc(sizeBytes);
      await file.read(bytes, 0, sizeBytes, startByte);
      for (const { entry, sizeBytes: written } of arrived) {
        const [first, end] = [
          Math.max(startByte, entry.startByte),
          Math.min(startByte + sizeBytes, entry.startByte + written),
        ];
        if (first < end)
          (await writes.data(entry, first - entry.startByte, end - first)).copy(bytes, first - startByte);
      }
      return bytes;
    },
    isTouched: ({ startByte, endByte }) => {
      const overlaps = (entry: ArrivedWrite['entry'], sizeBytes: number): boolean =>
        touched.has(entry) && entry.startByte < endByte && startByte < entry.startByte + sizeBytes;
      return (
        writes.entries.slice(0, complete).some((entry) => overlaps(entry, entry.sizeBytes)) ||
        arrived.some(({ entry, sizeBytes }) => overlaps(entry, sizeBytes))
      );
    },
    materialise: async (look) => {
      const saved: { readonly startByte: number; readonly bytes: Buffer }[] = [];
      try {
        for (const write of arrived) {
          const bytes = Buffer.alloc(write.sizeBytes);
          await file.read(bytes, 0, bytes.length, write.entry.startByte);
          saved.push({ startByte: write.entry.startByte, bytes });
          await put(writes, file, write);
        }
        return await look(work);
      } finally {
        for (const { startByte, bytes } of saved.reverse()) await file.write(bytes, 0, bytes.length, startByte);
      }
    },
  };
}

async function put(writes: WriteLog, file: FileHandle, { entry, sizeBytes }: ArrivedWrite): Promise<void> {
  if (sizeBytes > 0) await file.write(await writes.data(entry, 0, sizeBytes), 0, sizeBytes, entry.startByte);
}
