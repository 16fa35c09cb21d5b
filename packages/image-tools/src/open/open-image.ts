import { type ByteReader, type Emit, type Host, MigrateError, windowOf } from '@migrate/core';
import { type ForwardReader, forwardReaderOf } from './forward-reader.ts';
import { containerOf, formatHeadBytes, formatOfHead } from './image-format.ts';
import type { InflateEngine } from './inflate-engine.ts';
import { type PackedImage, readPackedImage } from './packed-image.ts';
import { writeSparsely } from './sparse-file.ts';
import { defaultMaximumImageBytes, tooLarge, withinBounds } from './stream-options.ts';

export interface OpenImageOptions {
  /** Largest size in bytes of an image that is unpacked; what holds more is taken for a decompression bomb. */
  readonly maximumBytes?: number;
  /** What inflates gzip and zip; `node` where it is left out. */
  readonly engine?: InflateEngine;
  /** Stops whatever is being done with the image; `cancelled` is thrown. */
  readonly signal?: AbortSignal;
  /** Receives the progress of each stream, in bytes of the file. */
  readonly emit?: Emit;
}

export interface StreamImageOptions {
  /** What is being done, for the progress: "unpacking the image" where it is left out. */
  readonly text?: string;
  /** Sees each byte of PackedImage.gzip, or of the file, once and in order; the stream waits for it. */
  readonly onPackedBytes?: (bytes: Uint8Array) => void | Promise<void>;
}

/** An image in whatever it is packed in. One that was opened is still to be proven: faults show while it is streamed. */
export interface OpenedImage extends Omit<PackedImage, 'unpack'> {
  readonly path: string;
  /** Size of the file as it lies on disk. */
  readonly fileBytes: number;
  /**
   * All bytes of the image in order, in chunks of any size up to a few MiB that the receiver may keep; nothing is read before
   * it is asked for. Throws `invalid-input` for what is damaged, cut off, or larger than it may be.
   */
  stream(options?: StreamImageOptions): AsyncGenerator<Uint8Array>;
  /** For reading at few places, mostly forward; see forwardReaderOf. */
  forward(onImageBytes?: (bytes: Uint8Array) => void): ForwardReader;
  /**
   * For reading anywhere. What is packed is unpacked first, into a file without a name in `directory`, in which zeros take no
   * room. Close it before the image.
   */
  spill(directory: string): Promise<ByteReader>;
  close(): Promise<void>;
}

/**
 * Opens an image file and tells by its content what it is packed in: nothing, gzip, zip, xz, zstd or bzip2. Throws
 * `unsupported` for other formats, with what to do, `invalid-input` for a file that is no sound archive, and for one that
 * holds no image, several, or something that is packed once more.
 */
export async function openImage(host: Host, path: string, options: OpenImageOptions = {}): Promise<OpenedImage> {
  const source = await host.openRead(path);
  try {
    const { engine, maximumBytes = defaultMaximumImageBytes } = options;
    const packed = await readPackedImage({ host, path, source, engine }, await containerOf(source, path));
    if (packed.imageBytes !== undefined && packed.imageBytes > maximumBytes) throw tooLarge(path, maximumBytes);
    if (packed.container !== 'raw') await refuseNested(packed, path);
    return openedImage({ host, path, source, packed, options });
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

interface Opened {
  readonly host: Host;
  readonly path: string;
  readonly source: ByteReader;
  readonly packed: PackedImage;
  readonly options: OpenImageOptions;
}

function openedImage({ host, path, source, packed, options }: Opened): OpenedImage {
  const { maximumBytes, signal, emit = () => {} } = options;
  const { unpack, ...properties } = packed;
  const bounds = { path, maximumBytes, signal, imageBytes: packed.imageBytes };
  const stream = ({ text = 'unpacking the image', onPackedBytes }: StreamImageOptions = {}) => {
    let done = 0;
    const progress = (bytes: Uint8Array): void | Promise<void> => {
      done += bytes.length;
      emit({ kind: 'progress', text, done, total: packed.packedBytes, unit: 'bytes' });
      return onPackedBytes?.(bytes);
    };
    return withinBounds(unpack({ onPackedBytes: progress, signal }), bounds);
  };
  return {
    ...properties,
    path,
    fileBytes: source.sizeBytes,
    stream,
    forward: (onImageBytes) =>
      forwardReaderOf(() => stream(), { path, ...(onImageBytes === undefined ? {} : { onImageBytes }) }),
    spill: async (directory) => {
      if (packed.plain !== undefined) return windowOf(packed.plain, 0, packed.plain.sizeBytes);
      const scratch = await host.createScratchFile(directory);
      try {
        await writeSparsely(stream(), scratch);
        return scratch;
      } catch (thrown) {
        await scratch.close();
        throw thrown;
      }
    },
    close: () => source.close(),
  };
}

/** Reads the start of what is packed: an archive in an archive is no image, nor is a tar file. */
async function refuseNested(packed: PackedImage, path: string): Promise<void> {
  const reader = forwardReaderOf(() => packed.unpack({}), { path });
  try {
    const head = Buffer.alloc(formatHeadBytes);
    const format = formatOfHead(head.subarray(0, await reader.read(head, 0)));
    if ('container' in format && format.container === 'raw') return;
    const name = 'container' in format ? format.container : format.foreign;
    throw new MigrateError(
      'unsupported',
      `${path} holds ${name} in ${packed.container}, not an image: unpack it once and name what comes out`,
      { data: { path, format: name } },
    );
  } finally {
    await reader.close();
  }
}
