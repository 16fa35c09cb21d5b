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
  for (const run of runsOf(extents).reverse()) {
    const latest = Math.floor((run.startByte + run.sizeBytes - sizeBytes) / alignBytes) * alignBytes;
    if (latest < Math.max(run.startByte, fromByte)) continue;
    return partOf(run, latest, latest + sizeBytes);
  }
  return undefined;
}

export interface PiecesRequest {
  /** In all, a multiple of `alignBytes`. */
  readonly sizeBytes: number;
  readonly fromByte: number;
  readonly alignBytes: number;
  /** A piece of the file that is taken already. */
  readonly taken: Extent;
  /** Number of pieces at most. */
  readonly most: number;
}

/**
 * Pieces of the file that together have that size, from `fromByte` of the file system on, each at a multiple of `alignBytes` there: as
 * few as possible and as far back as can be, in the order of the file. Undefined where there is not so much, or only in too many pieces.
 */
export function findPieces(
  extents: readonly Extent[],
  { sizeBytes, fromByte, alignBytes, taken, most }: PiecesRequest,
): readonly Extent[] | undefined {
  const takenEnd = taken.startByte + taken.sizeBytes;
  const free = runsOf(extents)
    .flatMap((run) => {
      const end = run.startByte + run.sizeBytes;
      return [
        partOf(run, run.startByte, Math.min(end, taken.startByte)),
        partOf(run, Math.max(run.startByte, takenEnd), end),
      ];
    })
    .map((run) => {
      const start = Math.ceil(Math.max(run.startByte, fromByte) / alignBytes) * alignBytes;
      const length = Math.floor((run.startByte + run.sizeBytes - start) / alignBytes) * alignBytes;
      return partOf(run, start, start + length);
    })
    .filter((run) => run.sizeBytes > 0)
    .sort((a, b) => b.sizeBytes - a.sizeBytes);
  const pieces: Extent[] = [];
  let missing = sizeBytes;
  for (const run of free.slice(0, most)) {
    if (missing === 0) break;
    const length = Math.min(missing, run.sizeBytes);
    const end = run.startByte + run.sizeBytes;
    pieces.push(partOf(run, end - length, end));
    missing -= length;
  }
  return missing === 0 ? pieces.sort((a, b) => a.fileByte - b.fileByte) : undefined;
}

/** Whether a piece of the file is where it was. */
export function holds(extents: readonly Extent[], { fileByte, startByte, sizeBytes }: Extent): boolean {
  return runsOf(extents).some(
    (run) =>
      run.fileByte <= fileByte &&
      run.fileByte + run.sizeBytes >= fileByte + sizeBytes &&
      run.startByte - run.fileByte === startByte - fileByte,
  );
}

/** Extents by their place in the file system, those that continue each other in both as one. */
function runsOf(extents: readonly Extent[]): Extent[] {
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
  return runs;
}

/** From one byte of the file system to another. */
function partOf(run: Extent, startByte: number, endByte: number): Extent {
  return { fileByte: run.fileByte + startByte - run.startByte, startByte, sizeBytes: Math.max(0, endByte - startByte) };
}
