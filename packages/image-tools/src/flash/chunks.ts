// Chunks are what is hashed, written, verified and repaired one by one.
import { alignedBuffers, type ByteRange, type ImageFacts, writtenRanges } from '@migrate/core';

/** Cuts ranges in order at the multiples of `chunkBytes`, one after the other: a range may have no end. */
export function* chunksIn(ranges: readonly ByteRange[], chunkBytes: number): Generator<ByteRange> {
  for (const range of ranges) {
    for (let { startByte } = range; startByte < range.endByte; ) {
      const endByte = Math.min(range.endByte, startByte - (startByte % chunkBytes) + chunkBytes);
      yield { startByte, endByte };
      startByte = endByte;
    }
  }
}

/** Where the chunks of an image lie, in the order of `chunkSha256`. */
export function chunksOf(image: Pick<ImageFacts, 'sizeBytes' | 'usedBlocks' | 'chunkBytes'>): readonly ByteRange[] {
  return [...chunksIn(writtenRanges(image), image.chunkBytes)];
}

/** Something that happens to one chunk of a stream; `bytes` may be reused once the promise has settled. */
export type ChunkHandler = (bytes: Uint8Array, chunk: ByteRange) => Promise<void>;

/**
 * Takes chunks, which must be in order and none larger than `chunkBytes`, out of a stream, and handles up to two of them while
 * the next is filled. Three buffers serve the whole stream. Reads to the end of the stream and returns its size; a chunk that
 * it ends in, or before, is not handled.
 */
export async function forEachChunk(
  stream: AsyncIterable<Uint8Array>,
  { chunks, chunkBytes }: { chunks: Iterable<ByteRange>; chunkBytes: number },
  handle: ChunkHandler,
): Promise<number> {
  const free: Uint8Array[] = alignedBuffers(3, chunkBytes);
  const pending = new Set<Promise<void>>();
  // A handler may fail while the stream is waited for, when nobody looks at it.
  let failure: { readonly thrown: unknown } | undefined;
  const awaited = chunks[Symbol.iterator]();
  let chunk = awaited.next().value as ByteRange | undefined;
  let current = free.pop() as Uint8Array;
  let position = 0;
  const hand = async (done: ByteRange): Promise<void> => {
    const buffer = current;
    const work: Promise<void> = handle(buffer.subarray(0, done.endByte - done.startByte), done)
      .catch((thrown: unknown) => {
        failure ??= { thrown };
      })
      .finally(() => {
        pending.delete(work);
        free.push(buffer);
      });
    pending.add(work);
    while (free.length === 0) await Promise.race(pending);
    current = free.pop() as Uint8Array;
  };
  const throwFailure = (): void => {
    if (failure !== undefined) throw failure.thrown;
  };
  try {
    for await (const bytes of stream) {
      throwFailure();
      const streamEnd = position + bytes.length;
      while (chunk !== undefined && chunk.startByte < streamEnd) {
        const from = Math.max(chunk.startByte, position);
        const to = Math.min(chunk.endByte, streamEnd);
        current.set(bytes.subarray(from - position, to - position), from - chunk.startByte);
        if (to < chunk.endByte) break;
        await hand(chunk);
        throwFailure();
        chunk = awaited.next().value as ByteRange | undefined;
      }
      position = streamEnd;
    }
    await Promise.all(pending);
    throwFailure();
    return position;
  } finally {
    await Promise.all(pending);
  }
}
