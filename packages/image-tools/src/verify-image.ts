import { createHash } from 'node:crypto';
import { type ByteReader, type ByteWriter, type Emit, type ImageFacts, MigrateError } from '@migrate/core';
import { forEachChunk } from './chunks.ts';
import { flashImage } from './flash-image.ts';

export interface VerifyRequest {
  readonly target: ByteReader;
  readonly image: ImageFacts;
  /** The image's own first bytes, which the disk does not have yet. */
  readonly commitBytes: Uint8Array;
  readonly emit: Emit;
}

/** Reads a flashed disk back and returns the numbers of the chunks that are not what was proven. */
export async function differingChunks({ target, image, commitBytes, emit }: VerifyRequest): Promise<readonly number[]> {
  const differing: number[] = [];
  let doneBytes = 0;
  await forEachChunk(bytesOf(target, image.sizeBytes), image.chunkBytes, async (bytes, index) => {
    if (index === 0) bytes.set(commitBytes.subarray(0, bytes.length));
    if (createHash('sha256').update(bytes).digest('hex') !== image.chunkSha256[index]) differing.push(index);
    doneBytes += bytes.length;
    emit({ kind: 'progress', text: 'verifying', done: doneBytes, total: image.sizeBytes, unit: 'bytes' });
  });
  return differing;
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

async function* bytesOf(reader: ByteReader, sizeBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  const stepBytes = 1024 * 1024;
  for (let position = 0; position < sizeBytes; ) {
    const bytes = Buffer.allocUnsafe(Math.min(stepBytes, sizeBytes - position));
    const length = await reader.read(bytes, position);
    if (length === 0) throw new MigrateError('read-failed', `the disk ends at byte ${position}`);
    position += length;
    yield bytes.subarray(0, length);
  }
}
