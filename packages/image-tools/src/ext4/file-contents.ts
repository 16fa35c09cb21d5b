import type { ByteRange, ByteReader } from '@migrate/core';
import type { BlockRun } from './block-run.ts';
import { damaged } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';

/** The parts of a file that lie on the disk, up to its size. */
export function rangesOf(runs: readonly BlockRun[], blockBytes: number, sizeBytes: number): readonly ByteRange[] {
  const ranges: { startByte: number; endByte: number }[] = [];
  for (const { fileBlock, blocks } of runs) {
    const startByte = fileBlock * blockBytes;
    const endByte = Math.min(sizeBytes, startByte + blocks * blockBytes);
    const last = ranges.at(-1);
    // Space may be kept behind the end (fallocate), and authenticity data of verity lie there.
    if (startByte >= endByte) break;
    if (last?.endByte === startByte) last.endByte = endByte;
    else ranges.push({ startByte, endByte });
  }
  return ranges;
}

/** Reads a file run by run, straight into the target; holes give zeros. */
export function runsReader(
  { reader, superblock: { blockBytes } }: Ext4Source,
  sizeBytes: number,
  runs: readonly BlockRun[],
): ByteReader {
  const read = async (target: Uint8Array, position: number): Promise<number> => {
    const end = Math.min(position + target.length, sizeBytes);
    let at = position;
    for (let index = firstRunEndingAfter(runs, position / blockBytes); at < end; index += 1) {
      const run = runs[index];
      const startByte = run === undefined ? end : Math.min(end, run.fileBlock * blockBytes);
      if (at < startByte) {
        target.fill(0, at - position, startByte - position);
        at = startByte;
      }
      if (run === undefined || at === end) break;
      const partEnd = Math.min(end, (run.fileBlock + run.blocks) * blockBytes);
      const diskByte = run.diskBlock * blockBytes + at - run.fileBlock * blockBytes;
      const part = target.subarray(at - position, partEnd - position);
      if ((await reader.read(part, diskByte)) !== part.length) throw damaged(`it is cut off at byte ${diskByte}`);
      at = partEnd;
    }
    return Math.max(0, end - position);
  };
  return { sizeBytes, read, close: async () => {} };
}

function firstRunEndingAfter(runs: readonly BlockRun[], fileBlock: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run !== undefined && run.fileBlock + run.blocks <= fileBlock) low = middle + 1;
    else high = middle;
  }
  return low;
}
