// The one image in a zip archive (APPNOTE.TXT of PKWARE). yauzl reads the central directory, zip64 included; the contents
// are read by our own streams.
import { type ByteReader, MigrateError, windowOf } from '@migrate/core';
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl';

export interface ZippedImage {
  /** Name within the archive. */
  readonly name: string;
  readonly method: 'stored' | 'deflated';
  /** Where its packed bytes begin in the archive. */
  readonly startByte: number;
  readonly packedBytes: number;
  readonly imageBytes: number;
  /** CRC-32 of the image. */
  readonly crc32: number;
}

/** Nobody keeps an image among more files than that. */
const maximumEntries = 1000;
const maximumListed = 8;
const imageName = /\.(img|raw|wic|sdcard|sdimg|hddimg|rpi-sdimg|balenaos-img|resinos-img)$/i;

/** Compression methods by their numbers (APPNOTE.TXT, 4.4.5), for messages. */
const methodNames: Readonly<Record<number, string>> = {
  9: 'deflate64',
  12: 'bzip2',
  14: 'lzma',
  93: 'zstd',
  95: 'xz',
  99: 'AES encryption',
};

/**
 * Finds the one image in an archive: the one file with the name of an image, or the only file. Throws `invalid-input` for an
 * archive that is cut off or damaged, holds no image or several (naming what it holds), and `unsupported` for encryption and
 * for other methods than deflate.
 */
export async function findZippedImage(source: ByteReader, path: string): Promise<ZippedImage> {
  const zip = await readingZip(path, () =>
    // Names are only shown and matched, so they may be of any kind, and are not decoded by code page.
    fromRandomAccessReaderPromise(new SourceReader(source), source.sizeBytes, {
      autoClose: false,
      decodeStrings: false,
    }),
  );
  const entry = chooseImage(await readingZip(path, () => readEntries(zip)), path);
  const name = nameOf(entry);
  if (entry.isEncrypted()) throw unsupported(path, `${name} is encrypted`, `7z x ${path}`);
  const method = entry.compressionMethod === 0 ? 'stored' : 'deflated';
  if (method === 'deflated' && entry.compressionMethod !== 8) {
    const methodName = methodNames[entry.compressionMethod] ?? `method ${entry.compressionMethod}`;
    throw unsupported(path, `${name} is packed by ${methodName}`, `7z x ${path}`);
  }
  const header = await readingZip(path, () => zip.readLocalFileHeaderPromise(entry, { minimal: true }));
  const { compressedSize: packedBytes, uncompressedSize: imageBytes } = entry;
  return { name, method, startByte: header.fileDataStart, packedBytes, imageBytes, crc32: entry.crc32 };
}

/**
 * A deflated image as a gzip file around the very same deflate stream (RFC 1952, section 2.3), so that zlib checks CRC and
 * size as it does for any gzip file, and converting needs no compression. Its packed bytes begin at byte 10.
 */
export function gzipOfZippedImage(source: ByteReader, image: ZippedImage): ByteReader {
  // ID1 ID2 CM FLG MTIME XFL OS: no name, no time, system unknown; the same input gives the same file.
  const header = Buffer.from([0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff]);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(image.crc32, 0);
  trailer.writeUInt32LE(image.imageBytes % 2 ** 32, 4);
  const packed = windowOf(source, image.startByte, image.packedBytes);
  const trailerStart = header.length + image.packedBytes;
  return {
    sizeBytes: trailerStart + trailer.length,
    read: async (target, position) => {
      let done = 0;
      const put = (part: Uint8Array, startByte: number): void => {
        const offset = position + done - startByte;
        if (offset < 0 || offset >= part.length) return;
        const bytes = part.subarray(offset, offset + target.length - done);
        target.set(bytes, done);
        done += bytes.length;
      };
      put(header, 0);
      if (position + done >= header.length) {
        done += await packed.read(target.subarray(done), position + done - header.length);
      }
      put(trailer, trailerStart);
      return done;
    },
    close: async () => {},
  };
}

/** Bytes before the packed ones in what gzipOfZippedImage gives. */
export const gzipHeaderBytes = 10;

/** yauzl wants an instance of its own class. */
class SourceReader extends RandomAccessReader {
  readonly #source: ByteReader;

  constructor(source: ByteReader) {
    super();
    this.#source = source;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    const target = buffer.subarray(offset, offset + length);
    const isPossible = Number.isSafeInteger(position) && position >= 0;
    (isPossible ? this.#source.read(target, position) : Promise.resolve(0)).then(
      (count) => callback(count === length ? null : new Error('it is cut off, or points beyond its end')),
      (thrown: unknown) => callback(thrown instanceof Error ? thrown : new Error(String(thrown))),
    );
  }
}

async function readEntries(zip: ZipFile): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of zip.eachEntry()) {
    if (entries.length === maximumEntries) throw new Error(`it holds more than ${maximumEntries} files`);
    entries.push(entry);
  }
  return entries;
}

function chooseImage(entries: readonly Entry[], path: string): Entry {
  const files = entries.filter((entry) => !isFolderOrMetadata(nameOf(entry)));
  const images = files.filter((entry) => imageName.test(nameOf(entry)));
  const candidates = images.length > 0 ? images : files;
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  const listed = files.slice(0, maximumListed).map((entry) => `${nameOf(entry)} (${entry.uncompressedSize} bytes)`);
  const more = files.length > maximumListed ? ` and ${files.length - maximumListed} more` : '';
  const holds = files.length === 0 ? 'no file' : `${listed.join(', ')}${more}`;
  const why = images.length > 1 ? `${images.length} images` : 'no image';
  throw new MigrateError(
    'invalid-input',
    `${path} must hold one image but holds ${why}: ${holds}; unpack it and name the image`,
    { data: { path, files: files.slice(0, maximumListed).map(nameOf) } },
  );
}

/** Folders, and what macOS adds to archives. */
function isFolderOrMetadata(name: string): boolean {
  return name.endsWith('/') || name.startsWith('__MACOSX/') || /(^|\/)(\.DS_Store|\._[^/]*)$/.test(name);
}

/** Printable, whatever the archive says. */
function nameOf(entry: Entry): string {
  return Buffer.from(entry.fileNameRaw)
    .toString('utf8')
    .slice(0, 255)
    .replace(/\p{Cc}/gu, '?');
}

async function readingZip<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    if (thrown instanceof MigrateError || !(thrown instanceof Error)) throw thrown;
    throw new MigrateError(
      'invalid-input',
      `${path} is no sound zip archive: ${thrown.message}; get it again from its source`,
      { cause: thrown, data: { path } },
    );
  }
}

function unsupported(path: string, why: string, cure: string): MigrateError {
  return new MigrateError('unsupported', `${path}: ${why}; unpack it by another program, such as ${cure}`, {
    data: { path },
  });
}
