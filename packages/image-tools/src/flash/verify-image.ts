import { createHash } from 'node:crypto';
import {
  alignedBuffers,
  type ByteRange,
  type ByteReader,
  type ByteWriter,
  type Emit,
  type ImageFacts,
  MigrateError,
  writtenBytes,
} from '@migrate/core';
import type { Unzstd } from '../open/unpack-zstd.ts';
import { chunksOf } from './chunks.ts';
import { flashImage } from './flash-image.ts';

export interface VerifyRequest {
  readonly target: ByteReader;
  readonly image: ImageFacts;
  /** The image's own first bytes, which the disk does not have yet. */
  readonly commitBytes: Uint8Array;
  readonly emit: Emit;
}

/**
 * Reads a flashed disk back where it was written and returns the numbers of the chunks that are not what was proven, or that
 * cannot be read: writing a bad sector again lets a disk replace it. Caches must be dropped before, or the bytes come from memory.
 */
export async function differingChunks({ target, image, commitBytes, emit }: VerifyRequest): Promise<readonly number[]> {
  const chunks = chunksOf(image);
  const total = writtenBytes(image);
  const differing: number[] = [];
  let done = 0;
  const handle = (bytes: Buffer | undefined, index: number): void => {
    const startByte = chunks[index]?.startByte ?? 0;
    if (bytes !== undefined) bytes.set(commitBytes.subarray(startByte, startByte + bytes.length));
    const isSame = bytes !== undefined && createHash('sha256').update(bytes).digest('hex') === image.chunkSha256[index];
    if (!isSame) differing.push(index);
    done += lengthOf(chunks[index]);
    emit({ kind: 'progress', text: 'verifying', done, total, unit: 'bytes' });
  };
  await readInOrder(target, { chunks, chunkBytes: image.chunkBytes }, handle);
  return differing;
}

function lengthOf(range: ByteRange | undefined): number {
  return range === undefined ? 0 : range.endByte - range.startByte;
}

/** Reads chunk after chunk: while one is handled, the next two are on their way. */
async function readInOrder(
  target: ByteReader,
  { chunks, chunkBytes }: { chunks: readonly ByteRange[]; chunkBytes: number },
  handle: (bytes: Buffer | undefined, index: number) => void,
): Promise<void> {
  const reads: Promise<Buffer | undefined>[] = [];
  const buffers = alignedBuffers(3, chunkBytes);
  const start = (index: number): void => {
    const chunk = chunks[index];
    const buffer = buffers[index % buffers.length];
    if (chunk !== undefined && buffer !== undefined) reads.push(readChunk(target, buffer, chunk));
  };
  try {
    start(0);
    start(1);
    for (let index = 0; index < chunks.length; index += 1) {
      const bytes = await reads.shift();
      start(index + 2);
      handle(bytes, index);
    }
  } finally {
    await Promise.allSettled(reads);
  }
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

function placeOf(chunk: ByteRange | undefined): string {
  return `${Number(((chunk?.startByte ?? 0) / 1024 / 1024).toFixed(3))} MiB`;
}

const rounds = 3;

export interface RepairRequest extends VerifyRequest {
  readonly target: ByteWriter;
  readonly source: ByteReader;
  /** Needed for zstd only. */
  readonly host?: Unzstd;
  /** Makes the next read come from the medium instead of memory. */
  readonly dropCaches: () => Promise<void>;
}

/** Verifies, writes differing chunks again, and verifies anew; throws `verify-mismatch` where the disk keeps failing. */
export async function verifyAndRepair(request: RepairRequest): Promise<void> {
  const { image, emit, dropCaches } = request;
  for (let round = 1; ; round += 1) {
    await dropCaches();
    const differing = await differingChunks(request);
    if (differing.length === 0) return;
    const chunks = chunksOf(image);
    const places = differing.slice(0, 8).map((index) => placeOf(chunks[index]));
    const text = `${differing.length} of ${image.chunkSha256.length} chunks differ, at ${places.join(', ')}${differing.length > 8 ? '…' : ''}`;
    if (round > rounds)
      throw new MigrateError('verify-mismatch', `the disk does not keep what is written to it: ${text}`);
    emit({ kind: 'note', level: 'warn', text: `${text}; they are written again (${round} of ${rounds})` });
    await flashImage({ ...request, chunks: new Set(differing), withheldBytes: request.commitBytes.length });
  }
}
