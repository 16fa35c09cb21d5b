// Tells by content, never by name, what an image file is.
import { type ByteReader, MigrateError } from '@migrate/core';

/** What an image may be packed in. */
export type ImageContainer = 'raw' | 'gzip' | 'zip' | 'xz' | 'zstd' | 'bzip2';

export type ImageFormat =
  | { readonly container: ImageContainer }
  /** A format that no image can be taken from, with what to do about it. */
  | { readonly foreign: string; readonly cure: string };

interface Signature {
  readonly format: ImageFormat;
  readonly magic: Buffer;
  /** Where it stands; counted from the end of the file where negative. */
  readonly offsetByte: number;
}

const containers: readonly Signature[] = [
  // RFC 1952, section 2.3.1: ID1, ID2, and CM = 8 (deflate, the only method there is).
  signature({ container: 'gzip' }, [0x1f, 0x8b, 0x08]),
  // APPNOTE.TXT, 4.3.7: a local file header; 4.3.16: the end of a central directory, of an archive without files.
  signature({ container: 'zip' }, 'PK\x03\x04'),
  signature({ container: 'zip' }, 'PK\x05\x06'),
  signature({ container: 'xz' }, '\xfd7zXZ\0'),
  signature({ container: 'zstd' }, [0x28, 0xb5, 0x2f, 0xfd]),
  // RFC 8878, section 3.1.2: pzstd begins with a skippable frame, of sixteen magic numbers.
  ...Array.from({ length: 16 }, (_, low) => signature({ container: 'zstd' }, [0x50 + low, 0x2a, 0x4d, 0x18])),
  ...Array.from({ length: 9 }, (_, level) => signature({ container: 'bzip2' }, `BZh${level + 1}`)),
];

const toRaw = 'qemu-img convert -O raw FILE FILE.img';
const download = 'get the image of the device type from balenaCloud (.img, .img.gz or .img.zip)';

const foreignFormats: readonly Signature[] = [
  foreign('7z', '7z\xbc\xaf\x27\x1c', '7z x -so FILE | gzip > FILE.img.gz'),
  foreign('rar', 'Rar!\x1a\x07', 'unrar p -inul FILE | gzip > FILE.img.gz'),
  foreign('lz4', [0x04, 0x22, 0x4d, 0x18], 'lz4 -dc FILE | gzip > FILE.img.gz'),
  foreign('lzip', 'LZIP', 'lzip -dc FILE | gzip > FILE.img.gz'),
  foreign('lzma', [0x5d, 0, 0], 'xz -dc --format=lzma FILE | gzip > FILE.img.gz'),
  foreign('qcow2', 'QFI\xfb', toRaw),
  foreign('vmdk', 'KDMV', toRaw),
  foreign('vmdk', '# Disk DescriptorFile', toRaw),
  foreign('vhdx', 'vhdxfile', toRaw),
  foreign('vhd', 'conectix', toRaw),
  // The footer of a VHD of fixed size, behind what would otherwise be a raw image.
  foreign('vhd', 'conectix', toRaw, -512),
  foreign('vdi', [0x7f, 0x10, 0xda, 0xbe], toRaw, 0x40),
  foreign('dmg', 'koly', 'hdiutil convert FILE -format UDTO -o FILE.img', -512),
  foreign('Android sparse image', [0x3a, 0xff, 0x26, 0xed], 'simg2img FILE FILE.img'),
  foreign('tar', 'ustar', 'take the image out of it: tar xf FILE', 257),
  // ECMA-119, 8.1: the identifier of the first volume descriptor, in sector 16 of 2048 bytes.
  foreign('iso', 'CD001', download, 16 * 2048 + 1),
  // What a download leaves that was answered with an error or a login page.
  foreign('html', '<!DOCTYPE', download),
  foreign('html', '<!doctype', download),
  foreign('html', '<html', download),
];

function signature(format: ImageFormat, magic: string | readonly number[], offsetByte = 0): Signature {
  return { format, magic: typeof magic === 'string' ? Buffer.from(magic, 'latin1') : Buffer.from(magic), offsetByte };
}

function foreign(name: string, magic: string | readonly number[], cure: string, offsetByte = 0): Signature {
  return signature({ foreign: name, cure }, magic, offsetByte);
}

/** Enough of a file's start for formatOfHead. */
export const formatHeadBytes = 16 * 2048 + 8;

/** What a file or image is that begins with `head`; whatever is not recognised counts as raw. */
export function formatOfHead(head: Uint8Array): ImageFormat {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.length);
  const found = [...containers, ...foreignFormats].find(
    ({ magic, offsetByte }) => offsetByte >= 0 && bytes.subarray(offsetByte, offsetByte + magic.length).equals(magic),
  );
  return found?.format ?? { container: 'raw' };
}

/** What a file is, by its start and its end. */
export async function readImageFormat(source: ByteReader): Promise<ImageFormat> {
  const head = Buffer.alloc(formatHeadBytes);
  const format = formatOfHead(head.subarray(0, await source.read(head, 0)));
  if ('foreign' in format || format.container !== 'raw') return format;
  for (const { format: atEnd, magic, offsetByte } of foreignFormats.filter((candidate) => candidate.offsetByte < 0)) {
    const position = source.sizeBytes + offsetByte;
    const found = Buffer.alloc(magic.length);
    if (position >= 0 && (await source.read(found, position)) === magic.length && found.equals(magic)) return atEnd;
  }
  return format;
}

/** The container of a file; throws `unsupported` for formats that no image can be taken from, with what to do. */
export async function containerOf(source: ByteReader, path: string): Promise<ImageContainer> {
  if (source.sizeBytes === 0) throw new MigrateError('invalid-input', `${path} is empty`, { data: { path } });
  const format = await readImageFormat(source);
  if (!('foreign' in format)) return format.container;
  throw new MigrateError('unsupported', `${path} is ${format.foreign}, not an image: ${format.cure}`, {
    data: { path, format: format.foreign },
  });
}
