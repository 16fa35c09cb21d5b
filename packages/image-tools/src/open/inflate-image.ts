import { type ByteReader, MigrateError } from '@migrate/core';
import type { ImageCompression } from './image-compression.ts';
import { type InflateEngine, inflateGzip } from './inflate-engine.ts';
import { outputChunkBytes, readSlices, type UnpackOptions, withinBounds } from './stream-options.ts';
import { type Unzstd, unpackZstd } from './unpack-zstd.ts';

export interface ImageStreamOptions extends UnpackOptions {
  readonly compression: ImageCompression;
  /** Needed for zstd only. */
  readonly host?: Unzstd | undefined;
  /** Largest size of the image once inflated; beyond it `invalid-input` is thrown. */
  readonly maximumBytes?: number;
  readonly engine?: InflateEngine | undefined;
}

/**
 * The image's bytes in order, inflated where needed, in chunks of any size up to 1 MiB that the receiver may keep. Reads on
 * only when asked for more, so memory is bounded whatever the size. Throws `invalid-input` with the byte offset for a gzip
 * file that is cut off, damaged, or followed by anything but zeros. Several gzip members in a row are one image (RFC 1952,
 * section 2.2), and so are several frames of zstd.
 */
export function readImageBytes(source: ByteReader, options: ImageStreamOptions): AsyncGenerator<Uint8Array> {
  return withinBounds(unpacked(source, options), options);
}

function unpacked(source: ByteReader, options: ImageStreamOptions): AsyncGenerator<Uint8Array> {
  const { compression, host, onFileBytes } = options;
  switch (compression) {
    case 'gzip':
      return inflateGzip(source, options);
    case 'none':
      return readSlices(source, { onFileBytes, chunkBytes: outputChunkBytes });
    case 'zstd':
      if (host === undefined) throw new MigrateError('unsupported', `${options.path}: zstd is not expected here`);
      return unpackZstd(source, { ...options, host });
  }
}
