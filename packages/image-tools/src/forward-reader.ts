import { type ByteReader, MigrateError } from '@migrate/core';
import type { KeptBytes } from './kept-bytes.ts';

export interface ForwardReaderOptions {
  /** Starts the image from its first byte. */
  readonly open: () => AsyncGenerator<Uint8Array>;
  readonly sizeBytes: number;
  /** Answers reads without inflating anything. */
  readonly kept?: KeptBytes;
}

/** Chunks behind the position that are still at hand, so that small steps back do not start the stream again. */
const windowBytes = 8 * 1024 * 1024;
/** An inspection of a sound image needs one or two; more means a file system made to send its reader to and fro. */
const maximumRestarts = 24;

interface Chunk {
  readonly startByte: number;
  readonly bytes: Uint8Array;
}

/**
 * A ByteReader over a stream that only runs forward: reads ahead inflate on, reads behind start it again. Nothing is spilt to
 * disk, memory is bounded. One read at a time. Throws `invalid-input` where an image makes it start too often.
 */
export function forwardReader({ open, sizeBytes, kept }: ForwardReaderOptions): ByteReader {
  let stream: AsyncGenerator<Uint8Array> | undefined;
  let window: Chunk[] = [];
  let nextByte = 0;
  let starts = 0;

  const start = async (): Promise<void> => {
    await stream?.return(undefined);
    starts += 1;
    if (starts > maximumRestarts + 1) {
      throw new MigrateError('invalid-input', 'the image asks to be read back and forth without end: it is damaged');
    }
    stream = open();
    window = [];
    nextByte = 0;
  };

  const advance = async (): Promise<boolean> => {
    const next = await stream?.next();
    if (next === undefined || next.done === true) return false;
    window.push({ startByte: nextByte, bytes: next.value });
    nextByte += next.value.length;
    while (window.length > 1 && nextByte - (window[1]?.startByte ?? nextByte) >= windowBytes) window.shift();
    return true;
  };

  const bytesAt = async (position: number): Promise<Uint8Array> => {
    const known = kept?.at(position);
    if (known !== undefined && known.length > 0) return known;
    if (stream === undefined || position < (window[0]?.startByte ?? nextByte)) await start();
    while (position >= nextByte) if (!(await advance())) return new Uint8Array();
    const chunk = window.findLast(({ startByte }) => startByte <= position);
    return chunk?.bytes.subarray(position - chunk.startByte) ?? new Uint8Array();
  };

  return {
    sizeBytes,
    read: async (target, position) => {
      const length = Math.max(0, Math.min(target.length, sizeBytes - position));
      let done = 0;
      while (done < length) {
        const bytes = (await bytesAt(position + done)).subarray(0, length - done);
        if (bytes.length === 0) break;
        target.set(bytes, done);
        done += bytes.length;
      }
      return done;
    },
    close: async () => {
      await stream?.return(undefined);
      stream = undefined;
      window = [];
    },
  };
}
