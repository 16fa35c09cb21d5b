import { MigrateError } from '@migrate/core';

/** Takes bytes from a stream in portions of the taker's choice; never holds more than one portion and one chunk. */
export interface ByteQueue {
  /** Bytes taken so far. */
  offsetByte(): number;
  /** Exactly `count` bytes, or undefined at the end of the stream; throws `invalid-input` where it ends between. */
  take(count: number): Promise<Buffer | undefined>;
  /** The next `count` bytes in pieces as they come; throws `invalid-input` where the stream ends before. */
  pieces(count: number): AsyncGenerator<Uint8Array>;
}

export function byteQueue(stream: AsyncIterable<Uint8Array>): ByteQueue {
  const iterator = stream[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array();
  let taken = 0;
  const some = async (most: number): Promise<Uint8Array> => {
    while (chunk.length === 0) {
      const next = await iterator.next();
      if (next.done === true) return chunk;
      chunk = next.value;
    }
    const piece = chunk.subarray(0, most);
    chunk = chunk.subarray(piece.length);
    taken += piece.length;
    return piece;
  };
  return {
    offsetByte: () => taken,
    take: async (count) => {
      const bytes = Buffer.alloc(count);
      let done = 0;
      while (done < count) {
        const piece = await some(count - done);
        if (piece.length === 0 && done === 0) return undefined;
        if (piece.length === 0) throw cutOff(taken);
        bytes.set(piece, done);
        done += piece.length;
      }
      return bytes;
    },
    pieces: async function* (count) {
      for (let left = count; left > 0; ) {
        const piece = await some(left);
        if (piece.length === 0) throw cutOff(taken);
        left -= piece.length;
        yield piece;
      }
    },
  };
}

function cutOff(atByte: number): MigrateError {
  return new MigrateError('invalid-input', `the archive is cut off at byte ${atByte} of its contents`);
}
