import { type ByteReader, type ByteWriter, type Emit, type ImageFacts, MigrateError } from '@migrate/core';
import { readImageBytes } from '../open/inflate-image.ts';
import type { Unzstd } from '../open/unpack-zstd.ts';
import { chunksOf, forEachChunk } from './chunks.ts';
import { commitRange } from './commit-sectors.ts';

export interface FlashRequest {
  /** The image file, compressed or not. */
  readonly source: ByteReader;
  /** Needed for zstd only. */
  readonly host?: Unzstd;
  /** What was proven of it. */
  readonly image: ImageFacts;
  readonly target: ByteWriter;
  readonly emit: Emit;
  /** Only these chunks, by their number, for a repair; all where it is left out. */
  readonly chunks?: ReadonlySet<number>;
  /** So many bytes at the image's start are not written; its commit sectors where it is left out. */
  readonly withheldBytes?: number;
}

/**
 * Inflates an image onto a disk, all of its used blocks but for its commit sectors, and flushes. What is written is exact: not a
 * byte beyond the image or outside of its used blocks. A write that fails is tried again twice. Throws `write-failed` naming the
 * place, `wrong-image` where the source is not the image that was proven.
 */
export async function flashImage(request: FlashRequest): Promise<void> {
  const { source, host, image, target, emit, chunks: wanted } = request;
  if (image.sizeBytes > target.sizeBytes)
    throw new MigrateError('no-space', `the image needs ${image.sizeBytes} bytes, the disk has ${target.sizeBytes}`);
  const withheldBytes = request.withheldBytes ?? commitRange(image.table).endByte;
  const all = chunksOf(image);
  const chunks = wanted === undefined ? all : all.filter((_, index) => wanted.has(index));
  const text = wanted === undefined ? 'flashing' : 'repairing';
  const total = chunks.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
  let done = 0;
  const { chunkBytes } = image;
  const sizeBytes = await forEachChunk(
    readImageBytes(source, { ...image, host }),
    { chunks, chunkBytes },
    async (bytes, { startByte }) => {
      const skip = Math.max(0, Math.min(bytes.length, withheldBytes - startByte));
      if (skip < bytes.length) await writePersistently(target, bytes.subarray(skip), startByte + skip);
      done += bytes.length;
      emit({ kind: 'progress', text, done, total, unit: 'bytes' });
    },
  );
  if (sizeBytes !== image.sizeBytes) throw notTheImage();
  await target.flush();
}

/** Pauses before a failed write is tried again: a bus that was reset needs a moment. */
const retryPausesMs = [100, 500];

async function writePersistently(target: ByteWriter, bytes: Uint8Array, position: number): Promise<void> {
  for (const pauseMs of retryPausesMs) {
    try {
      return await target.write(bytes, position);
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) || thrown.code !== 'write-failed') throw thrown;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
  await target.write(bytes, position);
}

/** The withheld first bytes of the image, taken from its start: its commit sectors, or so many as are asked for. */
export async function readCommitBytes(
  source: ByteReader,
  image: ImageFacts,
  host?: Unzstd,
  endByte: number = commitRange(image.table).endByte,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of readImageBytes(source, { ...image, host })) {
    parts.push(bytes);
    length += bytes.length;
    if (length >= endByte) return Buffer.concat(parts).subarray(0, endByte);
  }
  throw notTheImage();
}

function notTheImage(): MigrateError {
  return new MigrateError('wrong-image', 'the image is not the one that was proven: its size differs');
}
