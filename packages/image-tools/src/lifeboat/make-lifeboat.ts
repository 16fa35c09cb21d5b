// Makes a lifeboat on the living system: reserves its place through the file system, fills it there, and reads it back from the
// disk itself.
import { createHash } from 'node:crypto';
import {
  type ByteWriter,
  doing,
  type Emit,
  type Host,
  type LifeboatPiece,
  type LifeboatRecord,
  lifeboatRecordStart,
  required,
  serializeLifeboatRecord,
} from '@migrate/core';
import { eachChunk } from './each-chunk.ts';
import { type LifeboatContents, type LifeboatRequest, layOutLifeboat, regionAlignBytes } from './lifeboat-contents.ts';
import type { LifeboatSource } from './lifeboat-sources.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { looseAlignBytes, type Region, type RegionPrograms, reserveRegion } from './reserve-region.ts';

/** The same on every machine: nothing in a lifeboat depends on when it was made. */
export const volumeTime = new Date(0);

export interface MakeLifeboatRequest {
  readonly host: Host;
  readonly emit: Emit;
  /** The file that holds its place in the file system; it must not exist. */
  readonly path: string;
  /** The disk that it will be booted from, and where the file system begins on it. */
  readonly diskPath: string;
  readonly planId: string;
  readonly fileSystemStartByte: number;
  /** The lifeboat lies behind this byte of the disk. */
  readonly fromByte: number;
  readonly reserveBytes: number;
  /** In its volume. */
  readonly files: readonly LifeboatSource[];
  /** For stage 2 alone, outside of the volume. */
  readonly data: readonly LifeboatSource[];
  readonly layout: Omit<LifeboatRequest, 'files'>;
  readonly programs: RegionPrograms;
}

/**
 * Returns where the lifeboat lies; it is durable and was read back from the disk then. Throws `no-space` where the file system
 * has no room for it, its volume in one piece, `verify-mismatch` where the disk holds something else. The file is the caller's to remove.
 */
export async function makeLifeboat(request: MakeLifeboatRequest): Promise<LifeboatRecord> {
  const { host, path, files, data, layout, fileSystemStartByte, fromByte, diskPath, planId } = request;
  const contents = layOutLifeboat({ ...layout, files });
  const region = await reserveRegion({
    ...request,
    sizeBytes: contents.sizeBytes,
    looseBytes: data.reduce((sum, { sizeBytes }) => sum + aligned(sizeBytes), 0),
    fromByte: Math.max(0, fromByte - fileSystemStartByte),
    // Partitions begin at multiples of it, but for very old ones.
    alignBytes: regionAlignBytes,
  });
  const startByte = fileSystemStartByte + region.whole.startByte;
  const file = await host.openWrite(path);
  try {
    await doing(`writing the lifeboat ${path}`, 'write-failed', () =>
      writeLifeboat(file, request, { contents, region }),
    );
  } finally {
    await file.close();
  }
  await host.dropCaches();
  const disk = await host.openRead(diskPath);
  try {
    return await proveLifeboat(disk, { startByte, planId }, request.emit);
  } finally {
    await disk.close();
  }
}

/** Writes a lifeboat with its record into its place, durable. */
export async function writeLifeboat(
  file: ByteWriter,
  request: Pick<MakeLifeboatRequest, 'planId' | 'files' | 'data' | 'fileSystemStartByte' | 'emit'>,
  { contents, region, inPlace = [], secrets }: LifeboatPlace,
): Promise<LifeboatRecord> {
  const startByte = request.fileSystemStartByte + region.whole.startByte;
  const pieces = [...(await fill(file, request, { contents, region, startByte })), ...inPlace];
  const { planId } = request;
  const { sizeBytes } = contents;
  const record: LifeboatRecord = {
    ...{ planId, startByte, sizeBytes, ...contents.wayRecord(startByte), pieces },
    ...(secrets === undefined ? {} : { secrets }),
  };
  await file.write(serializeLifeboatRecord(record), region.whole.fileByte + lifeboatRecordStart);
  await file.flush();
  return record;
}

export interface LifeboatPlace {
  readonly contents: LifeboatContents;
  /** `fileByte` is a place in what is written to. */
  readonly region: Region;
  /** Pieces of it that are there already. */
  readonly inPlace?: readonly LifeboatPiece[];
  readonly secrets?: NonNullable<LifeboatRecord['secrets']>;
}

/** Where a part of a source goes. */
interface Place {
  readonly inFile: number;
  readonly onDisk: number;
  readonly sizeBytes: number;
}

/** What becomes one piece of the record: parts of sources, one behind the other, with zeros where clusters are not full. */
interface PieceToWrite {
  readonly path?: string;
  readonly parts: readonly { readonly source: LifeboatSource; readonly fromByte: number; readonly place: Place }[];
}

async function fill(
  file: ByteWriter,
  {
    files,
    data,
    fileSystemStartByte,
    emit,
  }: Pick<MakeLifeboatRequest, 'files' | 'data' | 'fileSystemStartByte' | 'emit'>,
  { contents, region, startByte }: { contents: LifeboatContents; region: Region; startByte: number },
): Promise<readonly LifeboatPiece[]> {
  const written: LifeboatPiece[] = [];
  for (const piece of contents.pieces(startByte)) {
    await file.write(piece.bytes, region.whole.fileByte + piece.startByte);
    const sha256 = createHash('sha256').update(piece.bytes).digest('hex');
    written.push({ startByte: startByte + piece.startByte, sizeBytes: piece.bytes.length, sha256 });
  }
  const placeOf = ({ path, sizeBytes }: LifeboatSource): Place => {
    const start = contents.startOf(path);
    return { inFile: region.whole.fileByte + start, onDisk: startByte + start, sizeBytes };
  };
  const take = placesIn(region, fileSystemStartByte);
  const pieces = [
    ...piecesOfVolume(files, placeOf),
    ...data.flatMap((source) => piecesOfData(source, take(source.sizeBytes))),
  ];
  const total = [...files, ...data].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  for (const piece of pieces) {
    const onBytes = (count: number): void => {
      done += count;
      emit({ kind: 'progress', text: 'writing the lifeboat', done, total, unit: 'bytes' });
    };
    written.push(await writePiece(file, piece, onBytes));
  }
  return written;
}

/** Each file is one, and neighbours that are one of many are one together. */
function piecesOfVolume(
  files: readonly LifeboatSource[],
  placeOf: (source: LifeboatSource) => Place,
): readonly PieceToWrite[] {
  const pieces: { path?: string; parts: PieceToWrite['parts'][number][] }[] = [];
  let isMany = false;
  for (const source of files) {
    if (source.sizeBytes === 0) continue;
    const part = { source, fromByte: 0, place: placeOf(source) };
    const last = pieces.at(-1);
    if (isMany && source.isOneOfMany === true && last !== undefined) last.parts.push(part);
    else pieces.push({ ...(source.isOneOfMany === true ? {} : { path: source.path }), parts: [part] });
    isMany = source.isOneOfMany === true;
  }
  return pieces;
}

function piecesOfData(source: LifeboatSource, places: readonly Place[]): readonly PieceToWrite[] {
  let begin = 0;
  const pieces = places.map((place) => {
    const fromByte = begin;
    begin += place.sizeBytes;
    return { path: source.path, parts: [{ source, fromByte, place }] };
  });
  if (begin !== source.sizeBytes)
    throw new Error(`${source.path} has ${source.sizeBytes} bytes, places for it ${begin}`);
  return pieces;
}

async function writePiece(
  file: ByteWriter,
  { path, parts }: PieceToWrite,
  onBytes: (count: number) => void,
): Promise<LifeboatPiece> {
  const hash = createHash('sha256');
  const { inFile: start, onDisk: startByte } = required(parts[0], 'part of a piece').place;
  let end = start;
  const put = async (bytes: Uint8Array, position: number): Promise<void> => {
    hash.update(bytes);
    await file.write(bytes, position);
    end = position + bytes.length;
  };
  for (const { source, fromByte, place } of parts) {
    await put(new Uint8Array(place.inFile - end), end);
    const reader = await source.open();
    try {
      await eachChunk(
        reader,
        place.sizeBytes,
        async (bytes, position) => {
          await put(bytes, place.inFile + position);
          onBytes(bytes.length);
        },
        fromByte,
      );
    } finally {
      await reader.close();
    }
  }
  const sha256 = hash.digest('hex');
  return { ...(path === undefined ? {} : { path }), startByte, sizeBytes: end - start, sha256 };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / looseAlignBytes) * looseAlignBytes;
}

/** Gives out the loose pieces, one file after the other; no two share a block, for one may be wiped. */
function placesIn({ loose }: Region, fileSystemStartByte: number): (sizeBytes: number) => readonly Place[] {
  let taken = 0;
  return (sizeBytes) => {
    const places: Place[] = [];
    let before = 0;
    for (const piece of loose) {
      const from = Math.max(taken, before);
      const to = Math.min(taken + sizeBytes, before + piece.sizeBytes);
      const onDisk = fileSystemStartByte + piece.startByte + from - before;
      if (to > from) places.push({ inFile: piece.fileByte + from - before, onDisk, sizeBytes: to - from });
      before += piece.sizeBytes;
    }
    taken += aligned(sizeBytes);
    return places;
  };
}
