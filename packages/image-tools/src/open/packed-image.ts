// How an image lies in its file: one way of unpacking for each container.
import { type ByteReader, crc32, type Host, windowOf } from '@migrate/core';
import type { ImageContainer } from './image-format.ts';
import { type InflateEngine, inflateGzip } from './inflate-engine.ts';
import { unpackByProgram } from './program-stream.ts';
import { damaged, outputChunkBytes, readSlices, type UnpackOptions } from './stream-options.ts';
import { unpackZstd, zstdImageBytes } from './unpack-zstd.ts';
import { xzImageBytes } from './xz-size.ts';
import { findZippedImage, gzipHeaderBytes, gzipOfZippedImage, type ZippedImage } from './zip-image.ts';
import { readZstdFrames } from './zstd-frames.ts';

export interface PackedImage {
  readonly container: ImageContainer;
  /** Name of the file within an archive. */
  readonly entryName?: string;
  /** Size of the image where the container tells it. */
  readonly imageBytes?: number;
  /** Bytes that `unpack` reads: the file's, or those of one file in an archive. */
  readonly packedBytes: number;
  /** The image itself, where it lies unpacked in the file. */
  readonly plain?: ByteReader;
  /** The bytes that `unpack` reads, where they are a gzip file or can be read as one. */
  readonly gzip?: ByteReader;
  unpack(options: Unpack): AsyncGenerator<Uint8Array>;
}

/** Per stream. */
export interface Unpack {
  readonly onPackedBytes?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PackedImageSource {
  readonly host: Host;
  readonly path: string;
  readonly source: ByteReader;
  readonly engine?: InflateEngine | undefined;
}

/** How to unpack the image of a file whose container is known; reads no more of it than its directory. */
export async function readPackedImage(from: PackedImageSource, container: ImageContainer): Promise<PackedImage> {
  const { path, source } = from;
  const whole = { container, packedBytes: source.sizeBytes };
  switch (container) {
    case 'raw':
      return {
        ...whole,
        imageBytes: source.sizeBytes,
        plain: source,
        unpack: ({ onPackedBytes }) => readSlices(source, { onFileBytes: onPackedBytes, chunkBytes: outputChunkBytes }),
      };
    case 'gzip':
      return { ...whole, gzip: source, unpack: (options) => inflateGzip(source, unpackOptions(from, options)) };
    case 'zip':
      return readZip(from, await findZippedImage(source, path));
    case 'zstd':
      return {
        ...whole,
        ...sizeIfKnown(zstdImageBytes(await readZstdFrames(source, { path }))),
        unpack: (options) => unpackZstd(source, unpackOptions(from, options)),
      };
    case 'xz':
      return {
        ...whole,
        ...sizeIfKnown(await xzImageBytes(source)),
        unpack: (options) =>
          // The preset -9 needs 65 MiB to unpack; what asks for much more was made to exhaust memory.
          unpackByProgram(source, {
            ...unpackOptions(from, options),
            run: program(from, options, 'xz', ['-dcq', '--memlimit-decompress=256MiB']),
          }),
      };
    case 'bzip2':
      return {
        ...whole,
        unpack: (options) =>
          unpackByProgram(source, {
            ...unpackOptions(from, options),
            run: program(from, options, 'bzip2', ['-dc']),
          }),
      };
  }
}

function program({ host }: PackedImageSource, { signal }: Unpack, command: string, args: readonly string[]) {
  // bzip2 only warns of what follows the end, and exits with 0.
  const options = { refusesWarnings: true, ...(signal === undefined ? {} : { signal }) };
  return (input: AsyncIterable<Uint8Array>) => host.runStream(command, args, { ...options, input });
}

function readZip(from: PackedImageSource, image: ZippedImage): PackedImage {
  const { source } = from;
  const common = { container: 'zip', entryName: image.name, imageBytes: image.imageBytes } as const;
  if (image.method === 'stored') {
    const plain = windowOf(source, image.startByte, image.packedBytes);
    return {
      ...common,
      packedBytes: plain.sizeBytes,
      plain,
      unpack: (options) => readStored(plain, image, unpackOptions(from, options)),
    };
  }
  const gzip = gzipOfZippedImage(source, image);
  return {
    ...common,
    packedBytes: gzip.sizeBytes,
    gzip,
    unpack: (options) =>
      inflateGzip(gzip, { ...unpackOptions(from, options), originByte: image.startByte - gzipHeaderBytes }),
  };
}

async function* readStored(plain: ByteReader, image: ZippedImage, options: UnpackOptions): AsyncGenerator<Uint8Array> {
  let sum = 0;
  for await (const chunk of readSlices(plain, { ...options, chunkBytes: outputChunkBytes })) {
    sum = crc32(chunk, sum);
    yield chunk;
  }
  if (sum !== image.crc32) {
    throw damaged({ ...options, originByte: image.startByte }, 0, `the CRC of ${image.name} is wrong`);
  }
}

function unpackOptions({ host, path, engine }: PackedImageSource, { onPackedBytes, signal }: Unpack) {
  return { host, path, engine, signal, onFileBytes: onPackedBytes };
}

function sizeIfKnown(imageBytes: number | undefined): { readonly imageBytes?: number } {
  return imageBytes === undefined ? {} : { imageBytes };
}
