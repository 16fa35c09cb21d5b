// Writes an image into a file that appears under its name only when it is complete and durable.
import { createHash, type Hash } from 'node:crypto';
import { type ExpectedHash, type HashAlgorithm, type Host, MigrateError, type NewFile } from '@migrate/core';
import { writeSparsely } from '../open/sparse-file.ts';
import { withinBounds } from '../open/stream-options.ts';
import { gzipBlocks } from './gzip-blocks.ts';

/** `raw` is written with holes where it is zero. */
export type ImageFileFormat = 'raw' | 'gzip' | 'zstd';

export interface ImageFileOptions {
  readonly host: Host;
  /** Name of the file that is made; one that is there is replaced. */
  readonly path: string;
  /** By the name where it is left out; see imageFileFormat. */
  readonly format?: ImageFileFormat | undefined;
  /** 1 to 9 for gzip (6 where it is left out), 1 to 19 for zstd (9): more is smaller and slower. */
  readonly level?: number | undefined;
  /** What the file is hashed by; sha256 where it is left out. */
  readonly algorithm?: HashAlgorithm | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteImageRequest extends ImageFileOptions {
  readonly stream: AsyncIterable<Uint8Array>;
  /** Size of the image, if it is known before: zstd files tell it then. Another one is an error. */
  readonly imageBytes?: number | undefined;
}

export interface ImageFile {
  readonly path: string;
  readonly format: ImageFileFormat;
  readonly fileBytes: number;
  readonly imageBytes: number;
  /** Of the file as it lies on disk, holes read as zeros. */
  readonly hash: ExpectedHash;
}

/** What a file of this name is expected to be; throws `invalid-input` for names that do not tell. */
export function imageFileFormat(path: string): ImageFileFormat {
  if (/\.gz$/i.test(path)) return 'gzip';
  if (/\.zst$/i.test(path)) return 'zstd';
  if (/\.(img|raw|wic|balenaos-img)$/i.test(path)) return 'raw';
  throw new MigrateError('invalid-input', `${path}: name it .img, .img.gz or .img.zst, which tells how to write it`, {
    data: { path },
  });
}

/**
 * Packs a stream into a file and hashes the file in the same pass. Nothing is left under the name, nor beside it, where it
 * fails or is cancelled. Throws what the stream throws, `no-space`, `write-failed`, and `not-found` without the program zstd.
 */
export function writeImage(request: WriteImageRequest): Promise<ImageFile> {
  const { path, stream, imageBytes, signal } = request;
  let found = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of withinBounds(stream, { path: `the image for ${path}`, imageBytes, signal })) {
      found += chunk.length;
      yield chunk;
    }
  };
  return withNewImageFile(request, async ({ file, format, hash }) => {
    if (format === 'raw') await writeSparsely(hashed(counted(), hash), file);
    else await append(hashed(pack(counted(), format, request), hash), file);
    return found;
  });
}

export interface NewImageFile {
  readonly file: NewFile;
  readonly format: ImageFileFormat;
  /** To be fed with all bytes of the file in order. */
  readonly hash: Hash;
}

/** Makes the file, has it filled by `fill`, which returns the size of the image, and commits it. */
export async function withNewImageFile(
  { host, path, format = imageFileFormat(path), algorithm = 'sha256' }: ImageFileOptions,
  fill: (target: NewImageFile) => Promise<number>,
): Promise<ImageFile> {
  const file = await host.createFile(path, { mode: 0o644 });
  try {
    const hash = createHash(algorithm);
    const imageBytes = await fill({ file, format, hash });
    await file.commit();
    const fileBytes = file.sizeBytes;
    return { path, format, fileBytes, imageBytes, hash: { algorithm, digest: hash.digest('hex') } };
  } finally {
    await file.close();
  }
}

function pack(
  stream: AsyncIterable<Uint8Array>,
  format: 'gzip' | 'zstd',
  { host, level, signal, imageBytes }: WriteImageRequest,
): AsyncGenerator<Uint8Array> {
  if (format === 'gzip') return gzipBlocks(stream, { level });
  const size = imageBytes === undefined ? [] : [`--stream-size=${imageBytes}`];
  // All processors; a checksum of the contents is the program's default.
  const args = ['-cq', '-T0', `-${level ?? 9}`, ...size];
  return host.runStream('zstd', args, { input: stream, ...(signal === undefined ? {} : { signal }) });
}

async function* hashed(stream: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    hash.update(chunk);
    yield chunk;
  }
}

async function append(stream: AsyncIterable<Uint8Array>, file: NewFile): Promise<void> {
  for await (const chunk of stream) await file.write(chunk, file.sizeBytes);
}
