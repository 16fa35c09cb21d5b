// Makes a lifeboat in stage 2, in a file that the old system kept on a FAT and where that file lies on the disk: for old systems that
// do not tell it. All of it comes from that FAT, read from the bare disk; what the old system starts is not touched.
import { createHash } from 'node:crypto';
import {
  type ByteRange,
  type ByteReader,
  type Emit,
  type Host,
  type LifeboatPiece,
  type LifeboatRecord,
  MigrateError,
  parseLifeboatSeal,
  type SealedFile,
  type StepOf,
  windowOf,
} from '@migrate/core';
import { type FatEntry, type FatVolume, openFat } from '../fat/fat-reader.ts';
import { eachChunk } from './each-chunk.ts';
import { type Extent, findRun } from './file-extents.ts';
import { regionAlignBytes } from './lifeboat-contents.ts';
import { changedSource, type LifeboatSource, textSource } from './lifeboat-sources.ts';
import { mostLoosePieces, type Region } from './reserve-region.ts';
import { layOutSources, volumeTime, writeLifeboat } from './write-lifeboat.ts';

/** The record has room for some dozen places. */
const neighbourBytes = 64 * 1024;

export interface FillLifeboatRequest {
  readonly host: Host;
  readonly emit: Emit;
  readonly planId: string;
  readonly step: StepOf<'fill-lifeboat'>;
  /** The disk that it will be booted from. */
  readonly diskPath: string;
}

/**
 * Returns its record; all is durable then, and not yet read back. Throws `no-space` where the file does not lie behind the image or has
 * no piece that is large enough, and `verify-mismatch` where the FAT holds something else than stage 1 wrote.
 */
export async function fillLifeboat(request: FillLifeboatRequest): Promise<LifeboatRecord> {
  const { host, step, planId, diskPath, emit } = request;
  const { fileSystemStartByte, way, serial } = step;
  await host.dropCaches();
  const disk = await host.openDisk(diskPath);
  try {
    const volume = await openFat(windowOf(disk, fileSystemStartByte, step.partitionBytes));
    const seal = parseLifeboatSeal(await volume.readFile(step.sealPath), planId);
    const files = await Promise.all(step.files.map((file) => sourceOf(volume, file, seal.files)));
    const layout = { way, serial, time: volumeTime, disk: { sizeBytes: disk.sizeBytes, tableId: way.diskGuid } };
    const region = await regionIn(volume, step, layOutSources({ files, layout }).sizeBytes);
    const inPlace: LifeboatPiece[] = [];
    for (const { path, from } of step.data) inPlace.push(...(await piecesOf(request, { disk, volume, path, from })));
    const record = await writeLifeboat({
      ...{ emit, file: disk, region, fileSystemStartByte, planId, files, data: [], layout, inPlace },
      secrets: await placesOf(volume, step),
    });
    checkSeal(record, seal.files);
    return record;
  } finally {
    await disk.close();
    await host.dropCaches();
  }
}

async function sourceOf(
  volume: FatVolume,
  file: StepOf<'fill-lifeboat'>['files'][number],
  sealed: readonly SealedFile[],
): Promise<LifeboatSource> {
  const { path } = file;
  if ('text' in file) return textSource(file);
  const entry = await fileAt(volume, file.from);
  const { sizeBytes } = entry;
  if (!sealed.some((seal) => seal.path === path && seal.sizeBytes === sizeBytes)) throw changedSource(path);
  return { path, sizeBytes, open: async () => volume.open(entry) };
}

/** The last piece of the reserved file that is large enough. */
async function regionIn(
  volume: FatVolume,
  { path, fileSystemStartByte, fromByte }: StepOf<'fill-lifeboat'>,
  sizeBytes: number,
): Promise<Region> {
  const ranges = await volume.rangesOf(await fileAt(volume, path));
  // Written to by its place on the disk.
  const extents = ranges.map(
    ({ startByte, endByte }): Extent => ({
      fileByte: fileSystemStartByte + startByte,
      startByte,
      sizeBytes: endByte - startByte,
    }),
  );
  const whole = findRun(extents, {
    sizeBytes,
    fromByte: Math.max(0, fromByte - fileSystemStartByte),
    alignBytes: regionAlignBytes,
  });
  if (whole === undefined)
    throw new MigrateError(
      'no-space',
      `behind byte ${fromByte} of the disk ${path} has not ${sizeBytes} bytes in one piece: it lies in ${ranges.length}`,
    );
  return { whole, loose: [] };
}

/** Where a file lies that stays in its place, with the hash of every piece. */
async function piecesOf(
  { step: { fileSystemStartByte, fromByte }, emit }: FillLifeboatRequest,
  { disk, volume, path, from }: { disk: ByteReader; volume: FatVolume; path: string; from: string },
): Promise<readonly LifeboatPiece[]> {
  const entry = await fileAt(volume, from);
  const ranges = await volume.rangesOf(entry);
  if (ranges.length > mostLoosePieces)
    throw new MigrateError('no-space', `${from} lies in ${ranges.length} pieces, more than ${mostLoosePieces}`);
  const pieces: LifeboatPiece[] = [];
  let before = 0;
  for (const { startByte: inFat, endByte } of ranges) {
    const startByte = fileSystemStartByte + inFat;
    const sizeBytes = endByte - inFat;
    if (startByte < fromByte)
      throw new MigrateError('no-space', `${from} lies at byte ${startByte} of the disk, where the image will be`);
    const hash = createHash('sha256');
    await eachChunk(
      disk,
      sizeBytes,
      async (bytes, position) => {
        hash.update(bytes);
        const done = before + position + bytes.length;
        emit({ kind: 'progress', text: `reading ${path}`, done, total: entry.sizeBytes, unit: 'bytes' });
      },
      startByte,
    );
    before += sizeBytes;
    pieces.push({ path, startByte, sizeBytes, sha256: hash.digest('hex') });
  }
  return pieces;
}

/** Where the files with passwords and keys lie on the disk, with what lies between neighbours, which is stage 1's own too. */
async function placesOf(
  volume: FatVolume,
  { secrets, fileSystemStartByte }: StepOf<'fill-lifeboat'>,
): Promise<NonNullable<LifeboatRecord['secrets']>> {
  const ranges: ByteRange[] = [];
  for (const path of secrets) ranges.push(...(await volume.rangesOf(await fileAt(volume, path))));
  const places: { startByte: number; sizeBytes: number }[] = [];
  for (const range of ranges.sort((a, b) => a.startByte - b.startByte)) {
    const startByte = fileSystemStartByte + range.startByte;
    const endByte = fileSystemStartByte + range.endByte;
    const last = places.at(-1);
    if (last === undefined || startByte - last.startByte - last.sizeBytes > neighbourBytes)
      places.push({ startByte, sizeBytes: endByte - startByte });
    else last.sizeBytes = endByte - last.startByte;
  }
  return places;
}

/** What went into the lifeboat is what stage 1 has made. */
function checkSeal({ pieces }: LifeboatRecord, sealed: readonly SealedFile[]): void {
  for (const { path, sha256 } of sealed)
    if (!pieces.some((piece) => piece.path === path && piece.sha256 === sha256)) throw changedSource(path);
}

async function fileAt(volume: FatVolume, path: string): Promise<FatEntry> {
  const entry = await volume.find(path);
  if (entry?.kind !== 'file') throw new MigrateError('not-found', `there is no file ${path} beside stage 2`);
  return entry;
}
