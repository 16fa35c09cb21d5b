// What an image that is flashed may be packed with.
import { type ByteReader, MigrateError } from '@migrate/core';
import { type ImageContainer, readImageFormat } from './image-format.ts';

/** What stage 2 can flash from. */
export type ImageCompression = 'gzip' | 'zstd' | 'none';

/** How to make a gzip file of what stage 2 cannot read. */
const commandsToGzip: Readonly<Record<Exclude<ImageContainer, 'raw' | 'gzip' | 'zstd'>, string>> = {
  zip: 'unzip -p FILE | gzip > FILE.img.gz',
  xz: 'xz -dc FILE | gzip > FILE.img.gz',
  bzip2: 'bzip2 -dc FILE | gzip > FILE.img.gz',
};

/**
 * Tells by content, never by name, whether an image is gzip, zstd or raw. Throws `unsupported` for known formats that cannot be
 * flashed; whatever is not recognised counts as a raw image.
 */
export async function compressionOf(source: ByteReader, path: string): Promise<ImageCompression> {
  const format = await readImageFormat(source);
  if ('container' in format) {
    if (format.container === 'raw') return 'none';
    if (format.container === 'gzip' || format.container === 'zstd') return format.container;
  }
  const [name, cure] =
    'foreign' in format
      ? [format.foreign, format.cure]
      : [format.container, commandsToGzip[format.container as keyof typeof commandsToGzip]];
  throw new MigrateError('unsupported', `${path} is packed as ${name}; images must be raw, gzip or zstd: ${cure}`, {
    data: { path, format: name },
  });
}
