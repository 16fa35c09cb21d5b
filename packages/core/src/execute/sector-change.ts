// Changes of a text file within one sector: the only change of a file that a power cut cannot tear on a file system as simple
// as FAT. What is written replaces comments, so that size and all other bytes stay.
import { MigrateError } from '../error.ts';
import type { Host } from '../host/host.ts';
import type { SectorChange } from '../initramfs/initramfs.ts';
import type { StepOf } from '../plan/plan.ts';
import type { UndoableHandler } from './execute.ts';
import { savedFile, saveFile } from './steps-files.ts';

const sectorBytes = 512;
/** Lines of padding stay below every reader's limit. */
const paddingLineBytes = 64;

/** A line as it stands, with its end; one character for each byte (latin1). */
export interface TextLine {
  readonly raw: string;
  /** A comment or a blank line, which nobody misses. */
  readonly isSpare: boolean;
}

/** All ways to put `block`, lines with their ends, into spare lines of one sector; the last place first. */
export function changesInComments(lines: readonly TextLine[], block: string): readonly SectorChange[] {
  const bytes = Buffer.from(lines.map(({ raw }) => raw).join(''), 'latin1');
  const changes: SectorChange[] = [];
  for (let offsetBytes = 0; offsetBytes < bytes.length; offsetBytes += sectorBytes) {
    const original = Buffer.from(bytes.subarray(offsetBytes, offsetBytes + sectorBytes));
    for (const run of spareRuns(lines, offsetBytes, offsetBytes + original.length)) {
      const filling = fill(bytes, run, block);
      if (filling === undefined) continue;
      const armed = Buffer.from(original);
      armed.set(filling, run.startByte - offsetBytes);
      changes.push({ offsetBytes, original: original.toString('base64'), armed: armed.toString('base64') });
    }
  }
  return changes.reverse();
}

/** The file as it is after the change. */
export function withSectorChange(bytes: Uint8Array, change: SectorChange): Uint8Array {
  const changed = Buffer.from(bytes);
  changed.set(Buffer.from(change.armed, 'base64'), change.offsetBytes);
  return changed;
}

interface Run {
  readonly startByte: number;
  readonly endByte: number;
}

/** Neighbouring spare lines, as far as they lie between the two bytes. */
function spareRuns(lines: readonly TextLine[], startByte: number, endByte: number): readonly Run[] {
  const runs: Run[] = [];
  let position = 0;
  for (const { raw, isSpare } of lines) {
    const from = Math.max(position, startByte);
    const to = Math.min(position + raw.length, endByte);
    position += raw.length;
    if (!isSpare || from >= to) continue;
    const last = runs.at(-1);
    if (last?.endByte === from) runs[runs.length - 1] = { startByte: last.startByte, endByte: to };
    else runs.push({ startByte: from, endByte: to });
  }
  return runs;
}

/** The block with comment lines round it, exactly as long as the run; undefined where it does not fit. */
function fill(bytes: Uint8Array, { startByte, endByte }: Run, block: string): Uint8Array | undefined {
  // What stays before and after belongs to comments, and must go on being comments.
  const head = startByte === 0 || bytes[startByte - 1] === 0x0a ? '' : '\n';
  const endsLine = bytes[endByte - 1] === 0x0a || endByte === bytes.length;
  const room = endByte - startByte - head.length - block.length;
  if (room < 0 || (!endsLine && room < 1)) return undefined;
  return Buffer.from(`${head}${block}${padding(room, endsLine)}`, 'latin1');
}

function padding(room: number, endsLine: boolean): string {
  let text = '';
  while (text.length < room) {
    const left = room - text.length;
    // A rest of one byte after a full line would be "#" without an end, joined to what follows.
    const length = left > paddingLineBytes ? Math.min(paddingLineBytes, left - 1) : left;
    text += length < left || endsLine ? `${'#'.repeat(length - 1)}\n` : '#'.repeat(length);
  }
  return text;
}

/**
 * Replaces one state of a sector by the other, in place; does nothing where the other is there already. Throws `busy` with the
 * cure where somebody else wrote to it, `verify-mismatch` where the file did not keep it.
 */
export async function exchangeSector(
  host: Host,
  path: string,
  {
    change,
    from,
    to,
    cure,
  }: { change: SectorChange; from: 'original' | 'armed'; to: 'original' | 'armed'; cure: string },
): Promise<void> {
  const [before, after] = [Buffer.from(change[from], 'base64'), Buffer.from(change[to], 'base64')];
  const bytes = Buffer.from(await host.readFile(path));
  const found = bytes.subarray(change.offsetBytes, change.offsetBytes + before.length);
  if (found.equals(after)) return;
  if (!found.equals(before)) throw new MigrateError('busy', `${path} was changed by someone else: ${cure}`);
  bytes.set(after, change.offsetBytes);
  await host.overwriteInPlace(path, bytes);
  const kept = Buffer.from(await host.readFile(path));
  if (!kept.equals(bytes)) throw new MigrateError('verify-mismatch', `${path} did not keep what was written`);
}

/** Handler of a step that changes one sector of a file, and of its undo; `cure` is for a file that somebody else changed as well. */
export function sectorSwitch<S extends StepOf<'switch-rpi-config' | 'switch-uboot-environment'>>({
  describe,
  cure,
}: {
  describe: (step: S) => string;
  cure: string;
}): UndoableHandler<S> {
  return {
    describe,
    prepare: (step, { host }) => saveFile(host, step.path),
    apply: ({ path, change }, { host }) => exchangeSector(host, path, { change, from: 'original', to: 'armed', cure }),
    undo: async ({ path, change }, saved, { host }) => {
      const before = savedFile(path, saved);
      await exchangeSector(host, path, { change, from: 'armed', to: 'original', cure });
      // The time only where nobody else wrote to it.
      if (Buffer.from(await host.readFile(path)).equals(Buffer.from(before.contents)))
        await host.setAttributes(path, before.attributes);
    },
  };
}
