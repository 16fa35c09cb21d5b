import { createHash, type Hash } from 'node:crypto';
import {
  checkLayout,
  type Emit,
  type ExpectedHash,
  type HostReader,
  type ImageFacts,
  MigrateError,
} from '@migrate/core';
import { inspectImage } from '../inspect/inspect-image.ts';
import { forwardReader } from '../open/forward-reader.ts';
import { compressionOf } from '../open/open-image.ts';

/** Chunks that are hashed, written and verified one by one. */
export const chunkBytes = 2 * 1024 * 1024;

export interface ProofRequest {
  readonly host: HostReader;
  readonly path: string;
  readonly expectedHash?: ExpectedHash;
  readonly emit: Emit;
}

/**
 * Reads an image to its last byte: inflates all of it, hashes the file and every chunk of the image, and inspects it on the
 * way. Throws `verify-mismatch` for another hash than expected, `invalid-input` or `wrong-image` for one that is not sound.
 */
export async function proveImage({ host, path, expectedHash, emit }: ProofRequest): Promise<ImageFacts> {
  const source = await host.openRead(path);
  try {
    const compression = await compressionOf(source, path);
    const fileHash = createHash('sha256');
    const otherHash =
      expectedHash === undefined || expectedHash.algorithm === 'sha256'
        ? undefined
        : createHash(expectedHash.algorithm);
    const chunks = chunkHasher();
    let fileBytes = 0;
    const reader = forwardReader(source, {
      path,
      compression,
      onFileBytes: (bytes) => {
        fileHash.update(bytes);
        otherHash?.update(bytes);
        fileBytes += bytes.length;
        emit({ kind: 'progress', text: 'proving the image', done: fileBytes, total: source.sizeBytes, unit: 'bytes' });
      },
      onImageBytes: chunks.update,
    });
    try {
      const inspection = await named(path, () => inspectImage(reader));
      const sizeBytes = await reader.drain();
      await named(path, async () => checkLayout(inspection.table, sizeBytes));
      const fileSha256 = fileHash.digest('hex');
      checkHash(path, expectedHash, otherHash?.digest('hex') ?? fileSha256);
      return {
        path,
        compression,
        fileBytes,
        fileSha256,
        sizeBytes,
        chunkBytes,
        chunkSha256: chunks.digests(),
        ...inspection,
      };
    } finally {
      await reader.close();
    }
  } finally {
    await source.close();
  }
}

async function named<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.message.includes(path)) throw thrown;
    throw new MigrateError(thrown.code, `${path}: ${thrown.message}`, { cause: thrown, data: { path } });
  }
}

function checkHash(path: string, expected: ExpectedHash | undefined, found: string): void {
  if (expected === undefined || expected.digest === found) return;
  throw new MigrateError(
    'verify-mismatch',
    `the ${expected.algorithm} of ${path} is ${found}, not ${expected.digest}`,
    { data: { path } },
  );
}

/** sha256 of each successive chunk of a stream that comes in pieces of any size. */
function chunkHasher() {
  const digests: string[] = [];
  let hash: Hash = createHash('sha256');
  let filled = 0;
  const finish = (): void => {
    digests.push(hash.digest('hex'));
    hash = createHash('sha256');
    filled = 0;
  };
  return {
    update: (bytes: Uint8Array): void => {
      let offset = 0;
      while (offset < bytes.length) {
        const length = Math.min(bytes.length - offset, chunkBytes - filled);
        hash.update(bytes.subarray(offset, offset + length));
        filled += length;
        offset += length;
        if (filled === chunkBytes) finish();
      }
    },
    digests: (): readonly string[] => {
      if (filled > 0) finish();
      return digests;
    },
  };
}
