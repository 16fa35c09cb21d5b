import type { ByteReader } from '@migrate/core';
import { type InflateEngine, inflateGzip } from './inflate-engine.ts';
import type { ImageCompression } from './open-image.ts';
import { outputChunkBytes, readSlices, type UnpackOptions, withinBounds } from './stream-options.ts';

export interface ImageStreamOptions extends UnpackOptions {
  readonly compression: ImageCompression;
  /** Largest size of the image once inflated; beyond it `invalid-input` is thrown. */
  readonly maximumBytes?: number;
  readonly engine?: InflateEngine;
}

/**
 * The image's bytes in order, inflated where needed, in chunks of any size up to 1 MiB that the receiver may keep. Reads on
 * only when asked for more, so memory is bounded whatever the size. Throws `invalid-input` with the byte offset for a gzip
 * file that is cut off, damaged, or followed by anything but zeros. Several gzip members in a row are one image (RFC 1952,
 * section 2.2).
 */
export function readImageBytes(source: ByteReader, options: ImageStreamOptions): AsyncGenerator<Uint8Array> {
  const { compression, onFileBytes } = options;
  const stream =
    compression === 'gzip'
      ? inflateGzip(source, options)
      : readSlices(source, { onFileBytes, chunkBytes: outputChunkBytes });
  return withinBounds(stream, options);
}
