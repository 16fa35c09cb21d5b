import { type ByteReader, type ByteWriter, type Emit, type ImageFacts, MigrateError } from '@migrate/core';
import { inflate } from '../open/open-image.ts';
import { forEachChunk } from './chunks.ts';
import { commitRange } from './commit-sectors.ts';

export interface FlashRequest {
  /** The image file, compressed or not. */
  readonly source: ByteReader;
  /** What was proven of it. */
  readonly image: ImageFacts;
  readonly target: ByteWriter;
  readonly emit: Emit;
  /** Only these chunks, for a repair; all where it is left out. */
  readonly chunks?: ReadonlySet<number>;
}

/**
 * Inflates an image onto a disk, all but its commit sectors, and flushes. The last block is exact: not a byte beyond the
 * image is written. A write that fails is tried again twice. Throws `write-failed` naming the place, `wrong-image` where the source is not the image that was proven.
 */
export async function flashImage({ source, image, target, emit, chunks }: FlashRequest): Promise<void> {
  if (image.sizeBytes > target.sizeBytes)
    throw new MigrateError('no-space', `the image needs ${image.sizeBytes} bytes, the disk has ${target.sizeBytes}`);
  const { endByte: withheldBytes } = commitRange(image.table);
  let doneBytes = 0;
  await forEachChunk(inflate(source, image), image.chunkBytes, async (bytes, index) => {
    const startByte = index * image.chunkBytes;
    if (startByte + bytes.length > image.sizeBytes) throw notTheImage();
    if (chunks?.has(index) !== false) {
      const skip = Math.max(0, Math.min(bytes.length, withheldBytes - startByte));
      await writePersistently(target, bytes.subarray(skip), startByte + skip);
    }
    doneBytes += bytes.length;
    emit({
      kind: 'progress',
      text: chunks === undefined ? 'flashing' : 'repairing',
      done: doneBytes,
      total: image.sizeBytes,
      unit: 'bytes',
    });
  });
  if (doneBytes !== image.sizeBytes) throw notTheImage();
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

/** The withheld first bytes of the image, taken from its start. */
export async function readCommitBytes(source: ByteReader, image: ImageFacts): Promise<Uint8Array> {
  const { endByte } = commitRange(image.table);
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of inflate(source, image)) {
    parts.push(bytes);
    length += bytes.length;
    if (length >= endByte) return Buffer.concat(parts).subarray(0, endByte);
  }
  throw notTheImage();
}

function notTheImage(): MigrateError {
  return new MigrateError('wrong-image', 'the image is not the one that was proven: its size differs');
}
