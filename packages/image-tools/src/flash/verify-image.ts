import { createHash } from 'node:crypto';
import {
  type ByteRange,
  type ByteReader,
  type ByteWriter,
  type Emit,
  type ImageFacts,
  MigrateError,
} from '@migrate/core';
import { flashImage } from './flash-image.ts';

export interface VerifyRequest {
  readonly target: ByteReader;
  readonly image: ImageFacts;
  /** The image's own first bytes, which the disk does not have yet. */
  readonly commitBytes: Uint8Array;
  readonly emit: Emit;
}

/**
 * Reads a flashed disk back and returns the numbers of the chunks that are not what was proven, or that cannot be read: writing
 * a bad sector again lets a disk replace it. Caches must be dropped before, or the bytes come from memory.
 */
export async function differingChunks({ target, image, commitBytes, emit }: VerifyRequest): Promise<readonly number[]> {
  const differing: number[] = [];
  // While one chunk is hashed, the next is read.
  const buffers = [Buffer.allocUnsafe(image.chunkBytes), Buffer.allocUnsafe(image.chunkBytes)] as const;
  const read = (index: number): Promise<Buffer | undefined> =>
    readChunk(target, buffers[index % 2 === 0 ? 0 : 1], {
      startByte: index * image.chunkBytes,
      endByte: Math.min((index + 1) * image.chunkBytes, image.sizeBytes),
    });
  let reading = read(0);
  for (const [index, digest] of image.chunkSha256.entries()) {
    const bytes = await reading;
    if (index + 1 < image.chunkSha256.length) reading = read(index + 1);
    if (index === 0) bytes?.set(commitBytes.subarray(0, bytes.length));
    if (bytes === undefined || createHash('sha256').update(bytes).digest('hex') !== digest) differing.push(index);
    const done = Math.min((index + 1) * image.chunkBytes, image.sizeBytes);
    emit({ kind: 'progress', text: 'verifying', done, total: image.sizeBytes, unit: 'bytes' });
  }
  return differing;
}

/** Undefined where the range cannot be read to its end. */
async function readChunk(
  target: ByteReader,
  buffer: Buffer,
  { startByte, endByte }: ByteRange,
): Promise<Buffer | undefined> {
  const bytes = buffer.subarray(0, endByte - startByte);
  try {
    return (await target.read(bytes, startByte)) === bytes.length ? bytes : undefined;
  } catch (thrown) {
    if (thrown instanceof MigrateError && thrown.code === 'read-failed') return undefined;
    throw thrown;
  }
}

const rounds = 3;

export interface RepairRequest extends VerifyRequest {
  readonly target: ByteWriter;
  readonly source: ByteReader;
  /** Makes the next read come from the medium instead of memory. */
  readonly dropCaches: () => Promise<void>;
}

/** Verifies, writes differing chunks again, and verifies anew; throws `verify-mismatch` where the disk keeps failing. */
export async function verifyAndRepair(request: RepairRequest): Promise<void> {
  const { source, image, target, emit, dropCaches } = request;
  for (let round = 1; ; round += 1) {
    await dropCaches();
    const differing = await differingChunks(request);
    if (differing.length === 0) return;
    const places = differing.slice(0, 8).map((index) => `${(index * image.chunkBytes) / 1024 / 1024} MiB`);
    const text = `${differing.length} of ${image.chunkSha256.length} chunks differ, at ${places.join(', ')}${differing.length > 8 ? '…' : ''}`;
    if (round > rounds)
      throw new MigrateError('verify-mismatch', `the disk does not keep what is written to it: ${text}`);
    emit({ kind: 'note', level: 'warn', text: `${text}; they are written again (${round} of ${rounds})` });
    await flashImage({ source, image, target, emit, chunks: new Set(differing) });
  }
}

/** The receiver copies each piece before it asks for the next, so that one buffer serves all. */
