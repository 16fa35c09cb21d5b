import { type ByteReader, MigrateError, throwIfCancelled } from '@migrate/core';

/** Larger than any disk that is migrated; what inflates to more is a decompression bomb. */
export const defaultMaximumImageBytes = 256 * 1024 ** 3;

/** How much of a file is read and handed on at once. */
export const sliceBytes = 256 * 1024;
/** How much of an image is given at once, at the most. */
export const outputChunkBytes = 1024 * 1024;

/** What every way of unpacking an image takes. */
export interface UnpackOptions {
  /** Name of the file for messages. */
  readonly path: string;
  /** Sees each byte of the file once and in order; the bytes are valid until the promise, if there is one, has settled. */
  readonly onFileBytes?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  /** Byte of the file that byte 0 of the reader is, for messages; 0 where it is left out. */
  readonly originByte?: number | undefined;
}

/** The one error for files that do not hold what they should. */
export function damaged(
  { path, originByte = 0 }: UnpackOptions,
  offsetByte: number,
  why: string,
  cause?: unknown,
): MigrateError {
  const place = Math.max(0, originByte + offsetByte);
  return new MigrateError(
    'invalid-input',
    `${path} is damaged at or after byte ${place}: ${why}; get it again from its source`,
    { cause, data: { path, offsetByte: place } },
  );
}

/** Slices of a reader in order, each in memory of its own. */
export async function* readSlices(
  source: ByteReader,
  { onFileBytes, chunkBytes = sliceBytes }: Pick<UnpackOptions, 'onFileBytes'> & { chunkBytes?: number } = {},
): AsyncGenerator<Uint8Array> {
  for (let position = 0; ; ) {
    const slice = Buffer.allocUnsafeSlow(chunkBytes);
    const count = await source.read(slice, position);
    if (count === 0) return;
    position += count;
    await onFileBytes?.(slice.subarray(0, count));
    yield slice.subarray(0, count);
  }
}

export interface Bounds {
  readonly path: string;
  /** Largest size of the image; beyond it `invalid-input` is thrown. */
  readonly maximumBytes?: number | undefined;
  /** Size that the container announces; another is `invalid-input`. */
  readonly imageBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Frees the buffers that zlib has put out, where Node was started with --expose-gc, as stage 2 is: V8 sees little of their size,
 * and on a busy machine up to 60 MiB of them wait for its next collection.
 */
const collectBuffers = (globalThis as { readonly gc?: (options: { type: 'minor' }) => void }).gc;
const bytesBetweenCollections = 8 * 1024 * 1024;

/** Passes a stream on within its bounds: size, announced size, and until cancelled. */
export async function* withinBounds(
  stream: AsyncIterable<Uint8Array>,
  { path, maximumBytes = defaultMaximumImageBytes, imageBytes, signal }: Bounds,
): AsyncGenerator<Uint8Array> {
  throwIfCancelled(signal);
  let total = 0;
  for await (const chunk of stream) {
    throwIfCancelled(signal);
    total += chunk.length;
    if (total > maximumBytes) throw tooLarge(path, maximumBytes);
    if (total % bytesBetweenCollections < chunk.length) collectBuffers?.({ type: 'minor' });
    yield chunk;
  }
  if (imageBytes !== undefined && total !== imageBytes) {
    throw new MigrateError(
      'invalid-input',
      `${path} is damaged: it holds ${total} bytes where it announces ${imageBytes}; get it again from its source`,
      { data: { path } },
    );
  }
}

export function tooLarge(path: string, maximumBytes: number): MigrateError {
  return new MigrateError('invalid-input', `${path} holds an image of more than ${maximumBytes} bytes`, {
    data: { path },
  });
}
