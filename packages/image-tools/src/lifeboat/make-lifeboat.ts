// Makes a lifeboat on the living system: reserves its place through the file system, fills it there, and reads it back from the
// disk itself.
import { createHash } from 'node:crypto';
import {
  type ByteReader,
  type ByteWriter,
  doing,
  type Emit,
  type Host,
  type LifeboatPiece,
  type LifeboatRecord,
  lifeboatRecordStart,
  readerOf,
  serializeLifeboatRecord,
} from '@migrate/core';
import { eachChunk } from './each-chunk.ts';
import { type LifeboatContents, type LifeboatRequest, layOutLifeboat, regionAlignBytes } from './lifeboat-contents.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { looseAlignBytes, type Region, type RegionPrograms, reserveRegion } from './reserve-region.ts';

/** The same on every machine: nothing in a lifeboat depends on when it was made. */
export const volumeTime = new Date(0);

export interface LifeboatSource {
  /** Path in its volume, without a slash before it; for data a name. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly open: () => Promise<ByteReader>;
}

export function textSource(path: string, text: string): LifeboatSource {
  const bytes = Buffer.from(text);
  return { path, sizeBytes: bytes.length, open: async () => readerOf(bytes) };
}

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
  const total = [...files, ...data].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  const write = async ({ path, sizeBytes, open }: LifeboatSource, places: readonly Place[]): Promise<void> => {
    const source = await open();
    try {
      let begin = 0;
      for (const place of places) {
        const hash = createHash('sha256');
        await eachChunk(
          source,
          place.sizeBytes,
          async (bytes, position) => {
            hash.update(bytes);
            await file.write(bytes, place.inFile + position);
            done += bytes.length;
            emit({ kind: 'progress', text: 'writing the lifeboat', done, total, unit: 'bytes' });
          },
          begin,
        );
        begin += place.sizeBytes;
        written.push({ path, startByte: place.onDisk, sizeBytes: place.sizeBytes, sha256: hash.digest('hex') });
      }
      if (begin !== sizeBytes) throw new Error(`${path} has ${sizeBytes} bytes, places for it ${begin}`);
    } finally {
      await source.close();
    }
  };
  for (const source of files) {
    const start = contents.startOf(source.path);
    const { sizeBytes } = source;
    await write(source, [{ inFile: region.whole.fileByte + start, onDisk: startByte + start, sizeBytes }]);
  }
  const take = placesIn(region, fileSystemStartByte);
  for (const source of data) await write(source, take(source.sizeBytes));
  return written;
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
