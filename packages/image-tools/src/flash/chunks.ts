/** Something that happens to one piece of a stream; `bytes` may be reused once the promise has settled. */
export type ChunkHandler = (bytes: Uint8Array, index: number) => Promise<void>;

/**
 * Cuts a stream into pieces of exactly `chunkBytes` (the last may be shorter) and handles up to two of them while the next is
 * filled. Three buffers serve the whole stream.
 */
export async function forEachChunk(
  stream: AsyncIterable<Uint8Array>,
  chunkBytes: number,
  handle: ChunkHandler,
): Promise<void> {
  const free: Uint8Array[] = [0, 1, 2].map(() => Buffer.allocUnsafe(chunkBytes));
  const pending = new Set<Promise<void>>();
  let current = free.pop() as Uint8Array;
  let filled = 0;
  let index = 0;
  const hand = async (): Promise<void> => {
    const buffer = current;
    const work: Promise<void> = handle(buffer.subarray(0, filled), index).finally(() => {
      pending.delete(work);
      free.push(buffer);
    });
    pending.add(work);
    // A failure is seen by the race or by the last wait below; until then it must not count as unhandled.
    work.catch(() => {});
    index += 1;
    filled = 0;
    while (free.length === 0) await Promise.race(pending);
    current = free.pop() as Uint8Array;
  };
  try {
    for await (const bytes of stream) {
      let offset = 0;
      while (offset < bytes.length) {
        const length = Math.min(bytes.length - offset, chunkBytes - filled);
        current.set(bytes.subarray(offset, offset + length), filled);
        filled += length;
        offset += length;
        if (filled === chunkBytes) await hand();
      }
    }
    if (filled > 0) await hand();
    await Promise.all(pending);
  } finally {
    await Promise.allSettled(pending);
  }
}
