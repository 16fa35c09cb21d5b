// What a power cut may leave of the writes that a disk was sent. Pure.
import type { LoggedWrite } from './write-log.ts';

/** A write of which all or only some bytes arrived. */
export interface ArrivedWrite {
  readonly entry: LoggedWrite;
  /** How many of its bytes, from its start. */
  readonly sizeBytes: number;
}

export interface CrashState {
  /** For people: which of the epoch's writes arrived. */
  readonly name: string;
  /** All entries before this one arrived whole. */
  readonly complete: number;
  /** Beyond them, in this order. */
  readonly arrived: readonly ArrivedWrite[];
}

export interface CrashOptions {
  /** The unit that a device writes whole, in bytes. */
  readonly unitBytes: number;
}

/**
 * All states of a log. Between two flushes a disk may write in any order: every prefix is a state; so is each epoch without one of
 * its writes, each with only one of them, and each prefix with its last write torn in the middle.
 */
export function* crashStates(entries: readonly LoggedWrite[], { unitBytes }: CrashOptions): Generator<CrashState> {
  for (const { start, writes } of epochsOf(entries)) {
    const state = (name: string, arrived: readonly ArrivedWrite[]): CrashState => ({
      name: `after ${start} entries: ${name}`,
      complete: start,
      arrived,
    });
    const whole = writes.map((entry): ArrivedWrite => ({ entry, sizeBytes: entry.sizeBytes }));
    for (let count = 0; count <= whole.length; count += 1)
      yield state(`the first ${count} of ${whole.length}`, whole.slice(0, count));
    if (whole.length > 1) {
      // Without the last one is a prefix, only the first one too.
      for (let lost = 0; lost < whole.length - 1; lost += 1)
        yield state(
          `all but number ${lost}`,
          whole.filter((_, index) => index !== lost),
        );
      for (const [index, only] of whole.entries()) if (index > 0) yield state(`only number ${index}`, [only]);
    }
    for (const [index, { entry }] of whole.entries()) {
      const half = Math.floor(entry.sizeBytes / unitBytes / 2) * unitBytes;
      if (entry.kind !== 'write' || half === 0) continue;
      yield state(`number ${index} torn`, [...whole.slice(0, index), { entry, sizeBytes: half }]);
    }
  }
}

interface Epoch {
  /** Number of entries before it. */
  readonly start: number;
  readonly writes: readonly LoggedWrite[];
}

/** Writes between two moments at which all before them is durable. */
export function epochsOf(entries: readonly LoggedWrite[]): readonly Epoch[] {
  const epochs: Epoch[] = [];
  let start = 0;
  let writes: LoggedWrite[] = [];
  entries.forEach((entry, index) => {
    if (entry.kind !== 'flush') writes.push(entry);
    else {
      if (writes.length > 0) epochs.push({ start, writes });
      writes = [];
      start = index + 1;
    }
  });
  if (writes.length > 0) epochs.push({ start, writes });
  return epochs;
}
