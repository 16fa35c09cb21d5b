import { type ByteReader, doing, type Emit } from '@migrate/core';
import { type OpenedImage, openImage } from '@migrate/image-tools';
import type { CommandContext } from './command-line.ts';

export interface ImageSource {
  readonly opened: OpenedImage;
  /** The image itself, unpacked, for reading anywhere. */
  readonly reader: ByteReader;
}

/** Opens an image, unpacked into a file without a name in `directory` where it is packed, and closes it after `use`. */
export async function withImage<T>(
  { host, signal }: CommandContext,
  { path, directory, emit }: { path: string; directory: string; emit: Emit },
  use: (source: ImageSource) => Promise<T>,
): Promise<T> {
  const opened = await openImage(host, path, { signal, emit });
  try {
    const reader = await opened.spill(directory);
    try {
      return await doing(path, 'read-failed', () => use({ opened, reader }));
    } finally {
      await reader.close();
    }
  } finally {
    await opened.close();
  }
}
