import { createHash } from 'node:crypto';
import { type HostReader, MigrateError } from '@migrate/core';
import { readImageBytes } from '../open/inflate-image.ts';
import type { ArchiveFacts } from './inspect-archive.ts';

/**
 * The contents of an archive that was inspected, without its compression. At the end it throws `verify-mismatch` where the
 * file is not the one that was inspected. `onRead` hears how many bytes of the file were read.
 */
export async function* archiveStream(
  host: HostReader,
  { path, compression, maximumBytes, fileSha256 }: ArchiveFacts,
  onRead: (bytes: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  const source = await host.openRead(path);
  try {
    const hash = createHash('sha256');
    let done = 0;
    const onFileBytes = (bytes: Uint8Array): void => {
      hash.update(bytes);
      done += bytes.length;
      onRead(done);
    };
    yield* readImageBytes(source, { path, compression, host, maximumBytes, onFileBytes });
    if (hash.digest('hex') !== fileSha256)
      throw new MigrateError('verify-mismatch', `${path} has changed since it was inspected`);
  } finally {
    await source.close();
  }
}
