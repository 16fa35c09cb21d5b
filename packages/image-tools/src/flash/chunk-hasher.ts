import { createHash, type Hash } from 'node:crypto';
import type { ByteRange } from '@migrate/core';

export interface ChunkHasher {
  /** Takes the next bytes of the stream. */
  update(bytes: Uint8Array): void;
  /** After the end of the stream: sha256 of each chunk, lower-case hex; one that the stream ended in is shorter. */
  digests(): readonly string[];
}

/** Hashes chunks, which must be in order, of a stream that comes in pieces of any size. */
export function chunkHasher(chunks: Iterator<ByteRange, unknown>): ChunkHasher {
  const digests: string[] = [];
  const next = (): ByteRange | undefined => {
    const { value, done } = chunks.next();
    return done === true ? undefined : (value as ByteRange);
  };
  let chunk = next();
  let hash: Hash | undefined;
  let position = 0;
  const finish = (): void => {
    if (hash !== undefined) digests.push(hash.digest('hex'));
    hash = undefined;
  };
  return {
    update: (bytes) => {
      const endByte = position + bytes.length;
      while (chunk !== undefined && chunk.startByte < endByte) {
        const from = Math.max(chunk.startByte, position);
        const to = Math.min(chunk.endByte, endByte);
        hash ??= createHash('sha256');
        hash.update(bytes.subarray(from - position, to - position));
        if (to < chunk.endByte) break;
        finish();
        chunk = next();
      }
      position = endByte;
    },
    digests: () => {
      finish();
      return digests;
    },
  };
}
