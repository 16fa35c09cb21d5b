// Fills the place of a lifeboat, through a file that holds it or on the disk itself.
import { createHash } from 'node:crypto';
import {
  type ByteReader,
  type ByteWriter,
  doing,
  type Emit,
  type LifeboatPiece,
  type LifeboatRecord,
  lifeboatRecordStart,
  MigrateError,
  readerOf,
  serializeLifeboatRecord,
} from '@migrate/core';
import { eachChunk } from './each-chunk.ts';
import { type LifeboatContents, type LifeboatRequest, layOutLifeboat } from './lifeboat-contents.ts';
import { looseAlignBytes, type Region } from './reserve-region.ts';

/** The same on every machine: nothing in a lifeboat depends on when it was made. */
export const volumeTime = new Date(0);

export interface LifeboatSource {
  /** Path in its volume, without a slash before it; for data a name. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Where it was proven before. */
  readonly sha256?: string;
  readonly open: () => Promise<ByteReader>;
}

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
  const { file, region, fileSystemStartByte, planId } = request;
  const contents = layOutSources(request);
  const startByte = fileSystemStartByte + region.whole.startByte;
  return doing(`writing the lifeboat at byte ${startByte} of the disk`, 'write-failed', async () => {
    const pieces = await fill(request, { contents, startByte });
    const { sizeBytes } = contents;
    const record: LifeboatRecord = { planId, startByte, sizeBytes, ...contents.wayRecord(startByte), pieces };
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
  const total = [...files, ...data].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  const write = async ({ path, sizeBytes, sha256, open }: LifeboatSource, places: readonly Place[]): Promise<void> => {
    const source = await open();
    try {
      let begin = 0;
      const wholeHash = createHash('sha256');
      for (const place of places) {
        const hash = createHash('sha256');
        await eachChunk(
          source,
          place.sizeBytes,
          async (bytes, position) => {
            hash.update(bytes);
            wholeHash.update(bytes);
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
      if (sha256 !== undefined && wholeHash.digest('hex') !== sha256)
        throw new MigrateError('verify-mismatch', `${path} is not what was proven before`);
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

/** A source that is a text. */
export function textSource(text: string): Pick<LifeboatSource, 'sizeBytes' | 'open'> {
  const bytes = Buffer.from(text);
  return { sizeBytes: bytes.length, open: async () => readerOf(bytes) };
}
