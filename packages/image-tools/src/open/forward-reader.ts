import { type ByteReader, MigrateError } from '@migrate/core';
import type { ImageCompression } from './image-compression.ts';
import { readImageBytes } from './inflate-image.ts';
import type { Unzstd } from './unpack-zstd.ts';

export interface ForwardReaderOptions {
  /** Name of the file for messages. */
  readonly path: string;
  readonly compression: ImageCompression;
  /** Needed for zstd only. */
  readonly host?: Unzstd | undefined;
  /** Sees each byte of the file once and in order, whatever is read. */
  readonly onFileBytes?: (bytes: Uint8Array) => void;
  /** Sees each byte of the image once and in order, whatever is read. */
  readonly onImageBytes?: (bytes: Uint8Array) => void;
}

export interface ForwardReader extends ByteReader {
  /** Reads the image to its end and returns its size in bytes. */
  drain(): Promise<number>;
}

/** What lies behind the position and is still at hand, so that small steps back do not start the stream again. */
const windowBytes = 2 * 1024 * 1024;
/** A sound image needs one or two; more means tables or a file system made to send their reader to and fro. */
const maximumRestarts = 24;

/** See forwardReaderOf; of a raw image, or a gzip or zstd file. */
export function forwardReader(source: ByteReader, options: ForwardReaderOptions): ForwardReader {
  const { path, compression, host, onFileBytes, onImageBytes } = options;
  return forwardReaderOf(
    (isFirst) => readImageBytes(source, { path, compression, host, ...(isFirst ? { onFileBytes } : {}) }),
    { path, ...(onImageBytes === undefined ? {} : { onImageBytes }) },
  );
}

/**
 * A ByteReader over an image that can only be unpacked forward. Nothing is spilt to disk and memory is bounded: reads ahead
 * unpack on, a read behind starts a second stream from the beginning, and the first one waits where it is, so that hashes
 * made on the way see all bytes once. The size is unknown before the end, so it is the largest there is. One read at a time.
 * `openStream` gives the image from its start. Throws `invalid-input` where an image sends it back too often.
 */
export function forwardReaderOf(
  openStream: (isFirst: boolean) => AsyncGenerator<Uint8Array>,
  { path, onImageBytes }: Pick<ForwardReaderOptions, 'path' | 'onImageBytes'>,
): ForwardReader {
  const first = slidingStream(openStream(true), onImageBytes);
  let second: SlidingStream | undefined;
  let restarts = 0;

  const streamFor = async (position: number): Promise<SlidingStream> => {
    if (position >= first.startByte()) return first;
    if (second !== undefined && position >= second.startByte()) return second;
    restarts += 1;
    if (restarts > maximumRestarts) {
      throw new MigrateError('invalid-input', `${path} is damaged: it leads its reader back and forth without end`);
    }
    await second?.close();
    second = slidingStream(openStream(false));
    return second;
  };

  return {
    sizeBytes: Number.MAX_SAFE_INTEGER,
    read: async (target, position) => {
      let done = 0;
      while (done < target.length) {
        const stream = await streamFor(position + done);
        const bytes = (await stream.bytesAt(position + done)).subarray(0, target.length - done);
        if (bytes.length === 0) break;
        target.set(bytes, done);
        done += bytes.length;
      }
      return done;
    },
    drain: () => first.drain(),
    close: async () => {
      await first.close();
      await second?.close();
    },
  };
}

type SlidingStream = ReturnType<typeof slidingStream>;

function slidingStream(stream: AsyncGenerator<Uint8Array>, onBytes?: (bytes: Uint8Array) => void) {
  let window: { readonly startByte: number; readonly bytes: Uint8Array }[] = [];
  let endByte = 0;
  const startByte = (): number => window[0]?.startByte ?? endByte;
  const advance = async (): Promise<boolean> => {
    const next = await stream.next();
    if (next.done === true) return false;
    onBytes?.(next.value);
    window.push({ startByte: endByte, bytes: next.value });
    endByte += next.value.length;
    while (window.length > 1 && endByte - (window[1]?.startByte ?? endByte) >= windowBytes) window.shift();
    return true;
  };
  return {
    startByte,
    /** Bytes from `position` on, which must not lie before startByte(); empty behind the end. */
    bytesAt: async (position: number): Promise<Uint8Array> => {
      while (position >= endByte) if (!(await advance())) return new Uint8Array();
      const chunk = window.findLast((candidate) => candidate.startByte <= position);
      return chunk?.bytes.subarray(position - chunk.startByte) ?? new Uint8Array();
    },
    drain: async (): Promise<number> => {
      while (await advance()) window = window.slice(-1);
      return endByte;
    },
    close: async (): Promise<void> => {
      await stream.return(undefined);
      window = [];
    },
  };
}
