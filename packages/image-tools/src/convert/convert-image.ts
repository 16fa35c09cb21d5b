import { throwIfCancelled } from '@migrate/core';
import type { OpenedImage } from '../open/open-image.ts';
import { type ImageFile, type ImageFileOptions, imageFileFormat, withNewImageFile, writeImage } from './write-image.ts';

export interface ConvertImageRequest extends ImageFileOptions {
  readonly image: OpenedImage;
}

const text = 'converting the image';

/**
 * Converts an opened image to raw, gzip or zstd. The image is unpacked to its end in any case, so what comes out was proven
 * sound. Where it is deflated already (gzip, zip) and gzip is wanted, its packed bytes are taken as they are, without being
 * compressed again, unless a level asks for that. See writeImage for errors and what is left behind: nothing.
 */
export function convertImage({ image, ...options }: ConvertImageRequest): Promise<ImageFile> {
  const format = options.format ?? imageFileFormat(options.path);
  if (format === 'gzip' && image.gzip !== undefined && options.level === undefined) return rewrap(image, options);
  return writeImage({ ...options, format, stream: image.stream({ text }), imageBytes: image.imageBytes });
}

/** Writes the packed bytes while zlib's thread inflates them and compares their CRC. */
function rewrap(image: OpenedImage, options: ImageFileOptions): Promise<ImageFile> {
  return withNewImageFile({ ...options, format: 'gzip' }, async ({ file, hash }) => {
    const onPackedBytes = async (bytes: Uint8Array): Promise<void> => {
      hash.update(bytes);
      await file.write(bytes, file.sizeBytes);
    };
    let imageBytes = 0;
    for await (const chunk of image.stream({ text, onPackedBytes })) {
      throwIfCancelled(options.signal);
      imageBytes += chunk.length;
    }
    return imageBytes;
  });
}
