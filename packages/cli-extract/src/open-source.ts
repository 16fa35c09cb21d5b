import { type ByteReader, doing, type Emit } from '@migrate/core';
import { type InflateEngine, type OpenedImage, openImage } from '@migrate/image-tools';
import type { CommandContext } from './command-context.ts';

export interface ImageSource {
  readonly opened: OpenedImage;
  /** The image for reading anywhere; a packed one is unpacked into a file without a name, once. */
  reader(): Promise<ByteReader>;
}

export interface OpeningOptions {
  readonly path: string;
  readonly directory: string;
  readonly emit: Emit;
  /** What inflates gzip and zip. */
  readonly inflate?: InflateEngine | undefined;
}

/** Opens an image, in messages called by its path, and closes it after `use`. `directory` is for what is unpacked. */
export async function withImage<T>(
  { host, signal }: CommandContext,
  { path, directory, emit, inflate }: OpeningOptions,
  use: (source: ImageSource) => Promise<T>,
): Promise<T> {
  const opened = await openImage(host, path, { signal, emit, ...(inflate === undefined ? {} : { engine: inflate }) });
  let spilled: Promise<ByteReader> | undefined;
  const reader = (): Promise<ByteReader> => {
    spilled ??= opened.spill(directory);
    return spilled;
  };
  try {
    return await doing(path, 'read-failed', () => use({ opened, reader }));
  } finally {
    await spilled?.then(
      (file) => file.close(),
      () => {},
    );
    await opened.close();
  }
}
