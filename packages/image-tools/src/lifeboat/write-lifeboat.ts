// Fills the place of a lifeboat, through a file that holds it or on the disk itself.
import { createHash } from 'node:crypto';
import {
  type ByteWriter,
  doing,
  type Emit,
  type LifeboatPiece,
  type LifeboatRecord,
  lifeboatRecordStart,
  MigrateError,
  required,
  serializeLifeboatRecord,
} from '@migrate/core';
import { eachChunk } from './each-chunk.ts';
import { type LifeboatContents, type LifeboatRequest, layOutLifeboat } from './lifeboat-contents.ts';
import type { LifeboatSource } from './lifeboat-sources.ts';
import { looseAlignBytes, type Region } from './reserve-region.ts';

/** The same on every machine: nothing in a lifeboat depends on when it was made. */
export const volumeTime = new Date(0);

export interface WriteLifeboatRequest {
  readonly emit: Emit;
  /** What is written to: by the places in the file that the region's extents name. */
  readonly file: ByteWriter;
  readonly region: Region;
  /** Where on the disk the extents count from. */
  readonly fileSystemStartByte: number;
  readonly planId: string;
  /** In its volume. */
  readonly files: readonly LifeboatSource[];
  /** For stage 2 alone, outside of the volume. */
  readonly data: readonly LifeboatSource[];
  readonly layout: Omit<LifeboatRequest, 'files'>;
  /** Pieces of it that are there already. */
  readonly inPlace?: readonly LifeboatPiece[];
  readonly secrets?: NonNullable<LifeboatRecord['secrets']>;
}

export function layOutSources({ files, layout }: Pick<WriteLifeboatRequest, 'files' | 'layout'>): LifeboatContents {
  return layOutLifeboat({ ...layout, files });
}

/** What data take outside of the volume, in bytes. */
export function looseBytesOf(data: readonly Pick<LifeboatSource, 'sizeBytes'>[]): number {
  return data.reduce((sum, { sizeBytes }) => sum + aligned(sizeBytes), 0);
}

/** Writes all of it and last its record, which is returned; durable then, but not read back. */
export async function writeLifeboat(request: WriteLifeboatRequest): Promise<LifeboatRecord> {
  const { file, region, fileSystemStartByte, planId, inPlace = [], secrets } = request;
  const contents = layOutSources(request);
  const startByte = fileSystemStartByte + region.whole.startByte;
  return doing(`writing the lifeboat at byte ${startByte} of the disk`, 'write-failed', async () => {
    const pieces = [...(await fill(request, { contents, startByte })), ...inPlace];
    const { sizeBytes } = contents;
    const record: LifeboatRecord = {
      ...{ planId, startByte, sizeBytes, ...contents.wayRecord(startByte), pieces },
      ...(secrets === undefined ? {} : { secrets }),
    };
    await file.write(serializeLifeboatRecord(record), region.whole.fileByte + lifeboatRecordStart);
    await file.flush();
    return record;
  });
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
  { file, files, data, region, fileSystemStartByte, emit }: WriteLifeboatRequest,
  { contents, startByte }: { contents: LifeboatContents; startByte: number },
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
  const proven = new Map(
    [...files, ...data].flatMap((source) =>
      source.sha256 === undefined ? [] : [[source, createHash('sha256')] as const],
    ),
  );
  let done = 0;
  for (const piece of pieces) {
    const onBytes = (bytes: Uint8Array, source: LifeboatSource): void => {
      proven.get(source)?.update(bytes);
      done += bytes.length;
      emit({ kind: 'progress', text: 'writing the lifeboat', done, total, unit: 'bytes' });
    };
    written.push(await writePiece(file, piece, onBytes));
  }
  for (const [{ path, sha256 }, hash] of proven)
    if (hash.digest('hex') !== sha256)
      throw new MigrateError('verify-mismatch', `${path} is not what was proven before`);
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
  onBytes: (bytes: Uint8Array, source: LifeboatSource) => void,
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
          onBytes(bytes, source);
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
