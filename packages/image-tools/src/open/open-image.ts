import { type ByteReader, MigrateError } from '@migrate/core';
import { type ImageStreamOptions, readImageBytes } from './inflate-image.ts';

export type ImageCompression = 'gzip' | 'none';

/** RFC 1952, section 2.3.1: ID1, ID2, and CM = 8 (deflate, the only method there is). */
const gzipMagic = Buffer.from([0x1f, 0x8b, 0x08]);

/** Formats that people have images in and that cannot be flashed as they are, by their first bytes. */
const foreignFormats: readonly { readonly name: string; readonly magic: Buffer; readonly cure: string }[] = [
  { name: 'zip', magic: Buffer.from('PK\x03\x04', 'latin1'), cure: 'unzip -p FILE | gzip > FILE.img.gz' },
  { name: 'xz', magic: Buffer.from('\xfd7zXZ\0', 'latin1'), cure: 'xz -dc FILE | gzip > FILE.img.gz' },
  { name: 'zstd', magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), cure: 'zstd -dc FILE | gzip > FILE.img.gz' },
  { name: 'bzip2', magic: Buffer.from('BZh', 'latin1'), cure: 'bzip2 -dc FILE | gzip > FILE.img.gz' },
  { name: '7z', magic: Buffer.from('7z\xbc\xaf\x27\x1c', 'latin1'), cure: '7z x -so FILE | gzip > FILE.img.gz' },
  { name: 'qcow2', magic: Buffer.from('QFI\xfb', 'latin1'), cure: 'qemu-img convert -O raw FILE FILE.img' },
];

/**
 * Tells by content, never by name, how an image is packed. Throws `unsupported` for known formats that cannot be flashed;
 * whatever else is not gzip counts as a raw image.
 */
export async function compressionOf(source: ByteReader, path: string): Promise<ImageCompression> {
  const head = Buffer.alloc(16);
  const count = await source.read(head, 0);
  const startsWith = (magic: Buffer): boolean =>
    count >= magic.length && head.compare(magic, 0, magic.length, 0, magic.length) === 0;
  const foreign = foreignFormats.find(({ magic }) => startsWith(magic));
  if (foreign !== undefined) {
    throw new MigrateError(
      'unsupported',
      `${path} is packed as ${foreign.name}; images must be raw or gzip: ${foreign.cure}`,
      { data: { path, format: foreign.name } },
    );
  }
  return startsWith(gzipMagic) ? 'gzip' : 'none';
}

export type InflateOptions = Omit<ImageStreamOptions, 'maximumBytes'>;

/** The bytes of an image in order, inflated where needed; see readImageBytes for bounds and errors. */
export function inflate(
  source: ByteReader,
  { path, compression, onFileBytes }: InflateOptions,
): AsyncGenerator<Uint8Array> {
  return readImageBytes(source, { path, compression, ...(onFileBytes === undefined ? {} : { onFileBytes }) });
}
