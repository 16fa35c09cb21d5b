import type { GrowingFile } from '@migrate/core';

/** Block size of most file systems: less than that cannot be a hole. */
const blockBytes = 4096;
const zeros = Buffer.alloc(blockBytes);

/**
 * Writes a stream into a new, empty file. Blocks of zeros become holes, which read as zeros, since nothing was there before.
 * Returns the size in bytes.
 */
export async function writeSparsely(stream: AsyncIterable<Uint8Array>, target: GrowingFile): Promise<number> {
  let position = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    for (const { start, end } of dataRanges(bytes, position)) {
      await target.write(bytes.subarray(start, end), position + start);
    }
    position += bytes.length;
  }
  await target.setSize(position);
  return position;
}

/** Ranges of a chunk that are not zeros, cut at the blocks of the file in which the chunk starts at `position`. */
function dataRanges(bytes: Buffer, position: number): readonly { readonly start: number; readonly end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = Math.min(bytes.length, start + blockBytes - ((position + start) % blockBytes));
    const isZero = bytes.compare(zeros, 0, end - start, start, end) === 0;
    const last = ranges.at(-1);
    if (!isZero && last?.end === start) last.end = end;
    else if (!isZero) ranges.push({ start, end });
    start = end;
  }
  return ranges;
}
