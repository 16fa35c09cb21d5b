// Where the blocks of a file lie, as filefrag of e2fsprogs tells it (FIEMAP, Documentation/filesystems/fiemap.rst of Linux). Pure.
import { MigrateError } from '@migrate/core';

export interface Extent {
  /** Place in the file. */
  readonly fileByte: number;
  /** Place in the file system. */
  readonly startByte: number;
  readonly sizeBytes: number;
}

const blockSizePattern = /^File size of .* \(\d+ blocks? of (\d+) bytes\)$/m;
const extentPattern = /^ *\d+: +(\d+)\.\. *(\d+): +(\d+)\.\. *(\d+): +(\d+):(?: +\d+:)? *([a-z_,]*)$/gm;
/** What an extent may be and still be plain blocks at a place that stays: misc/filefrag.c, print_flags. */
const plainFlags = new Set(['', 'last', 'unwritten', 'eof', 'merged']);

/** Parses `filefrag -v`. Throws `unsupported` for blocks that have no fixed place on the disk. */
export function parseExtents(text: string): readonly Extent[] {
  const blockBytes = Number(blockSizePattern.exec(text)?.[1]);
  if (!Number.isInteger(blockBytes) || blockBytes < 512)
    throw new MigrateError('command-failed', `filefrag said something else than expected: ${text.slice(0, 200)}`);
  return [...text.matchAll(extentPattern)].map(([, fileStart, , start, , length, flags = '']) => {
    const unusual = flags.split(',').find((flag) => !plainFlags.has(flag));
    if (unusual !== undefined)
      throw new MigrateError('unsupported', `the file system keeps the file in blocks that are "${unusual}"`);
    const bytes = (blocks: string | undefined): number => Number(blocks) * blockBytes;
    return { fileByte: bytes(fileStart), startByte: bytes(start), sizeBytes: bytes(length) };
  });
}

/**
 * A piece of the file of that size which lies in one piece in the file system too, from `fromByte` on and at a multiple of
 * `alignBytes`; the last one that there is, as far away from all else as can be.
 */
export function findRun(
  extents: readonly Extent[],
  { sizeBytes, fromByte, alignBytes }: { sizeBytes: number; fromByte: number; alignBytes: number },
): Extent | undefined {
  const runs: Extent[] = [];
  for (const extent of [...extents].sort((a, b) => a.startByte - b.startByte)) {
    const last = runs.at(-1);
    const continues =
      last !== undefined &&
      last.startByte + last.sizeBytes === extent.startByte &&
      last.fileByte + last.sizeBytes === extent.fileByte;
    if (continues) runs[runs.length - 1] = { ...last, sizeBytes: last.sizeBytes + extent.sizeBytes };
    else runs.push(extent);
  }
  for (const run of runs.reverse()) {
    const latest = Math.floor((run.startByte + run.sizeBytes - sizeBytes) / alignBytes) * alignBytes;
    if (latest < Math.max(run.startByte, fromByte)) continue;
    return { fileByte: run.fileByte + latest - run.startByte, startByte: latest, sizeBytes };
  }
  return undefined;
}
