import { createGunzip, type Gunzip } from 'node:zlib';
import { type ByteReader, isSystemError, MigrateError } from '@migrate/core';
import type { ImageCompression } from './open-image.ts';

const sliceBytes = 256 * 1024;
/** zlib's default of 16 KiB makes four times as many round trips to its thread, which costs four times the time. */
const outputChunkBytes = 1024 * 1024;
/** Larger than any disk that is migrated; what inflates to more is a decompression bomb. */
export const defaultMaximumImageBytes = 256 * 1024 ** 3;

export interface ImageStreamOptions {
  /** Name of the file for messages. */
  readonly path: string;
  readonly compression: ImageCompression;
  /** Largest size of the image once inflated; beyond it `invalid-input` is thrown. */
  readonly maximumBytes?: number;
  /** Sees each byte of the file once and in order; the bytes are valid only during the call. */
  readonly onFileBytes?: (bytes: Uint8Array) => void;
}

/**
 * The image's bytes in order, inflated where needed, in chunks of any size up to 1 MiB that the receiver may keep. Reads on
 * only when asked for more, so memory is bounded whatever the size. Throws `invalid-input` with the byte offset for a gzip
 * file that is cut off, damaged, or followed by anything but zeros. Several gzip members in a row are one image (RFC 1952,
 * section 2.2).
 */
export async function* readImageBytes(source: ByteReader, options: ImageStreamOptions): AsyncGenerator<Uint8Array> {
  const maximumBytes = options.maximumBytes ?? defaultMaximumImageBytes;
  let total = 0;
  for await (const chunk of options.compression === 'gzip' ? inflate(source, options) : readRaw(source, options)) {
    total += chunk.length;
    if (total > maximumBytes) {
      throw new MigrateError('invalid-input', `${options.path} holds an image of more than ${maximumBytes} bytes`, {
        data: { path: options.path },
      });
    }
    yield chunk;
  }
}

async function* readRaw(source: ByteReader, { onFileBytes }: ImageStreamOptions): AsyncGenerator<Uint8Array> {
  for (let position = 0; ; ) {
    const chunk = Buffer.allocUnsafeSlow(outputChunkBytes);
    const count = await source.read(chunk, position);
    if (count === 0) return;
    position += count;
    onFileBytes?.(chunk.subarray(0, count));
    yield chunk.subarray(0, count);
  }
}

async function* inflate(source: ByteReader, options: ImageStreamOptions): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: outputChunkBytes });
  const feeder = feed(gunzip, source, options);
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array;
  } catch (thrown) {
    throw asDamage(thrown, gunzip, { path: options.path, fileBytes: source.sizeBytes });
  } finally {
    gunzip.destroy();
    await feeder.stopped;
  }
  await checkTail(source, { from: gunzip.bytesWritten, feeder, options });
}

/** Puts the file into zlib slice by slice, the next slice being read while the one before is inflated. */
function feed(gunzip: Gunzip, source: ByteReader, { onFileBytes }: ImageStreamOptions) {
  // Node leaves the callback of a write uncalled where the stream ends before the input does.
  const closed = new Promise<void>((resolve) => gunzip.once('close', resolve));
  const slices = [Buffer.allocUnsafeSlow(sliceBytes), Buffer.allocUnsafeSlow(sliceBytes)] as const;
  let position = 0;
  const write = (slice: Buffer): Promise<void> =>
    Promise.race([closed, new Promise<void>((resolve) => gunzip.write(slice, () => resolve()))]);
  const run = async (): Promise<void> => {
    let writing = Promise.resolve();
    for (let turn = 0; !gunzip.destroyed; turn ^= 1) {
      const slice = turn === 0 ? slices[0] : slices[1];
      const count = await source.read(slice, position);
      await writing;
      if (gunzip.destroyed) return;
      if (count === 0) {
        gunzip.end();
        return;
      }
      position += count;
      onFileBytes?.(slice.subarray(0, count));
      writing = write(slice.subarray(0, count));
    }
  };
  const stopped = run().catch((thrown: unknown) => {
    gunzip.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)));
  });
  return { stopped, positionByte: () => position };
}

/** What follows the last gzip member must be padding: zlib stops at a zero byte without looking further. */
async function checkTail(
  source: ByteReader,
  { from, feeder, options }: { from: number; feeder: ReturnType<typeof feed>; options: ImageStreamOptions },
): Promise<void> {
  const slice = Buffer.allocUnsafeSlow(sliceBytes);
  for (let position = from; position < source.sizeBytes; ) {
    const count = await source.read(slice, position);
    if (count === 0) return;
    const bytes = slice.subarray(0, count);
    const unseen = Math.max(0, feeder.positionByte() - position);
    if (unseen < count) options.onFileBytes?.(bytes.subarray(unseen));
    const garbage = bytes.findIndex((byte) => byte !== 0);
    if (garbage >= 0) {
      throw damaged(options.path, position + garbage, 'something that is not gzip follows the end of the image');
    }
    position += count;
  }
}

function asDamage(thrown: unknown, gunzip: Gunzip, file: { path: string; fileBytes: number }): unknown {
  // zlib's errors have a code but no system call, unlike those of a failed read.
  const code = thrown instanceof Error && 'code' in thrown && !isSystemError(thrown) ? thrown.code : undefined;
  if (typeof code !== 'string' || !code.startsWith('Z_')) return thrown;
  if (code === 'Z_BUF_ERROR') return damaged(file.path, file.fileBytes, 'the file is cut off', thrown);
  return damaged(file.path, gunzip.bytesWritten, thrown instanceof Error ? thrown.message : code, thrown);
}

function damaged(path: string, offsetByte: number, why: string, cause?: unknown): MigrateError {
  return new MigrateError(
    'invalid-input',
    `${path} is damaged at or after byte ${offsetByte}: ${why}; get it again from its source`,
    { cause, data: { path, offsetByte } },
  );
}
