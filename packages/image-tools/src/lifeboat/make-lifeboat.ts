// Makes a lifeboat on the living system: reserves its place through the file system, fills it there, and reads it back from the
// disk itself.
import { createHash, type Hash } from 'node:crypto';
import { type ByteReader, type ByteWriter, doing, type Emit, type Host, MigrateError } from '@migrate/core';
import { type LifeboatRecord, type LifeboatRequest, layOutLifeboat, regionAlignBytes } from './lifeboat-contents.ts';
import { type RegionPrograms, reserveRegion } from './reserve-region.ts';

export interface LifeboatSource {
  /** Path in the lifeboat, without a slash before it. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly open: () => Promise<ByteReader>;
}

export interface MakeLifeboatRequest {
  readonly host: Host;
  readonly emit: Emit;
  /** The file that holds its place in the file system; it must not exist. */
  readonly path: string;
  /** The disk that it will be booted from, and where the file system begins on it. */
  readonly diskPath: string;
  readonly fileSystemStartByte: number;
  /** The lifeboat lies behind this byte of the disk. */
  readonly fromByte: number;
  readonly reserveBytes: number;
  readonly sources: readonly LifeboatSource[];
  readonly layout: Omit<LifeboatRequest, 'files'>;
  readonly programs: RegionPrograms;
}

/** What was written, to be compared with what the disk holds. */
interface WrittenPiece {
  /** From the lifeboat's start. */
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

const chunkBytes = 4 * 1024 * 1024;

/**
 * Returns where the lifeboat lies; it is durable and was read back from the disk then. Throws `no-space` where the file system
 * has no room for it in one piece, `verify-mismatch` where the disk holds something else. The file is the caller's to remove.
 */
export async function makeLifeboat(request: MakeLifeboatRequest): Promise<LifeboatRecord> {
  const { host, path, sources, layout, fileSystemStartByte, fromByte, diskPath } = request;
  const contents = layOutLifeboat({ ...layout, files: sources });
  const region = await reserveRegion({
    ...request,
    sizeBytes: contents.sizeBytes,
    fromByte: Math.max(0, fromByte - fileSystemStartByte),
    // Partitions begin at multiples of it, but for very old ones.
    alignBytes: regionAlignBytes,
  });
  const startByte = fileSystemStartByte + region.startByte;
  const file = await host.openWrite(path);
  let written: readonly WrittenPiece[];
  try {
    written = await doing(`writing the lifeboat ${path}`, 'write-failed', () =>
      fill(file, { ...request, contents, startByte, regionStart: region.fileByte }),
    );
    await file.flush();
  } finally {
    await file.close();
  }
  await host.dropCaches();
  const disk = await host.openRead(diskPath);
  try {
    await compare(disk, written, { ...request, startByte });
  } finally {
    await disk.close();
  }
  return contents.record(startByte);
}

async function fill(
  file: ByteWriter,
  {
    sources,
    contents,
    startByte,
    regionStart,
    emit,
  }: MakeLifeboatRequest & {
    contents: ReturnType<typeof layOutLifeboat>;
    startByte: number;
    regionStart: number;
  },
): Promise<readonly WrittenPiece[]> {
  const written: WrittenPiece[] = [];
  for (const piece of contents.pieces(startByte)) {
    await file.write(piece.bytes, regionStart + piece.startByte);
    const sha256 = createHash('sha256').update(piece.bytes).digest('hex');
    written.push({ startByte: piece.startByte, sizeBytes: piece.bytes.length, sha256 });
  }
  const total = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  for (const { path, sizeBytes, open } of sources) {
    const place = contents.startOf(path);
    const source = await open();
    try {
      const hash = createHash('sha256');
      await eachChunk(source, sizeBytes, async (bytes, position) => {
        hash.update(bytes);
        await file.write(bytes, regionStart + place + position);
        done += bytes.length;
        emit({ kind: 'progress', text: 'writing the lifeboat', done, total, unit: 'bytes' });
      });
      written.push({ startByte: place, sizeBytes, sha256: hash.digest('hex') });
    } finally {
      await source.close();
    }
  }
  return written;
}

async function compare(
  disk: ByteReader,
  written: readonly WrittenPiece[],
  { startByte, emit, path }: MakeLifeboatRequest & { startByte: number },
): Promise<void> {
  const total = written.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  for (const piece of written) {
    const hash: Hash = createHash('sha256');
    await eachChunk(
      disk,
      piece.sizeBytes,
      async (bytes) => {
        hash.update(bytes);
        done += bytes.length;
        emit({ kind: 'progress', text: 'reading the lifeboat back', done, total, unit: 'bytes' });
      },
      startByte + piece.startByte,
    );
    if (hash.digest('hex') !== piece.sha256)
      throw new MigrateError(
        'verify-mismatch',
        `the disk does not hold at byte ${startByte + piece.startByte} what was written to ${path}`,
      );
  }
}

/** Reads exactly so many bytes; throws `read-failed` where there are fewer. */
async function eachChunk(
  reader: ByteReader,
  sizeBytes: number,
  handle: (bytes: Uint8Array, position: number) => Promise<void>,
  fromByte = 0,
): Promise<void> {
  const chunk = Buffer.alloc(Math.min(chunkBytes, Math.max(1, sizeBytes)));
  for (let position = 0; position < sizeBytes; ) {
    const wanted = Math.min(chunk.length, sizeBytes - position);
    const count = await reader.read(chunk.subarray(0, wanted), fromByte + position);
    if (count === 0)
      throw new MigrateError(
        'read-failed',
        `there are only ${position} of the ${sizeBytes} bytes that were there before`,
      );
    await handle(chunk.subarray(0, count), position);
    position += count;
  }
}
