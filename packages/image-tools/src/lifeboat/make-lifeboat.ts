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
  serializeLifeboatRecord,
} from '@migrate/core';
import { eachChunk } from './each-chunk.ts';
import { type LifeboatRequest, layOutLifeboat, regionAlignBytes } from './lifeboat-contents.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
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
  readonly planId: string;
  readonly fileSystemStartByte: number;
  /** The lifeboat lies behind this byte of the disk. */
  readonly fromByte: number;
  readonly reserveBytes: number;
  readonly sources: readonly LifeboatSource[];
  readonly layout: Omit<LifeboatRequest, 'files'>;
  readonly programs: RegionPrograms;
}

/**
 * Returns where the lifeboat lies; it is durable and was read back from the disk then. Throws `no-space` where the file system
 * has no room for it in one piece, `verify-mismatch` where the disk holds something else. The file is the caller's to remove.
 */
export async function makeLifeboat(request: MakeLifeboatRequest): Promise<LifeboatRecord> {
  const { host, path, sources, layout, fileSystemStartByte, fromByte, diskPath, planId } = request;
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
  try {
    await doing(`writing the lifeboat ${path}`, 'write-failed', async () => {
      const pieces = await fill(file, { ...request, contents, startByte, regionStart: region.fileByte });
      const { sizeBytes } = contents;
      const record: LifeboatRecord = { planId, startByte, sizeBytes, ...contents.wayRecord(startByte), pieces };
      await file.write(serializeLifeboatRecord(record), region.fileByte + lifeboatRecordStart);
    });
    await file.flush();
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
): Promise<readonly LifeboatPiece[]> {
  const written: LifeboatPiece[] = [];
  for (const piece of contents.pieces(startByte)) {
    await file.write(piece.bytes, regionStart + piece.startByte);
    const sha256 = createHash('sha256').update(piece.bytes).digest('hex');
    written.push({ startByte: startByte + piece.startByte, sizeBytes: piece.bytes.length, sha256 });
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
      written.push({ path, startByte: startByte + place, sizeBytes, sha256: hash.digest('hex') });
    } finally {
      await source.close();
    }
  }
  return written;
}
