// The files of a layer as a tar archive, with all that overlayfs needs: whiteouts are device nodes, opaque directories attributes
// of the trusted namespace. GNU tar writes and reads it, since Node can neither make nodes nor set attributes.
import { createHash } from 'node:crypto';
import { doing, type Host, type HostReader, MigrateError } from '@migrate/core';
import type { Digest } from '../root/digest.ts';
import { copyTimeoutMs } from '../transplant/copy-timeout.ts';

const attributes = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner'];
const chunkBytes = 256 * 1024;

export interface FileSum {
  readonly bytes: number;
  readonly sha256: Digest;
}

/** Arguments of GNU tar that pack the directory `diff`; the same tree makes the same bytes. Names start with "./". */
export function packArguments(diff: string, archive: string): readonly string[] {
  const form = ['--format=posix', '--pax-option=delete=atime,delete=ctime', '--sort=name', '--sparse'];
  return ['--create', '--file', archive, ...form, ...attributes, '--directory', diff, '.'];
}

/** Unpacks into the new directory `diff`. GNU tar keeps names and links of a hostile archive inside of it, or fails. */
export async function unpackLayer(host: Host, archive: string, diff: string): Promise<void> {
  await host.run('mkdir', ['--', diff]);
  const form = ['--same-owner', '--preserve-permissions', '--delay-directory-restore'];
  const args = ['--extract', '--file', archive, ...form, ...attributes, '--directory', diff];
  await host.run('tar', args, { timeoutMs: copyTimeoutMs });
}

/** The bytes of a file, which is closed in the end. A chunk is gone when the next is taken. */
export async function* readFileChunks(host: HostReader, path: string): AsyncGenerator<Uint8Array> {
  const file = await host.openRead(path);
  try {
    const buffer = new Uint8Array(Math.min(chunkBytes, Math.max(1, file.sizeBytes)));
    for (let position = 0; ; ) {
      const length = await file.read(buffer, position);
      if (length === 0) return;
      yield buffer.subarray(0, length);
      position += length;
    }
  } finally {
    await file.close();
  }
}

/** Writes a new file, not durable. */
export async function writeFileChunks(host: Host, path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await host.writeNew(path, new Uint8Array(), { mode: 0o644 });
  const file = await host.openWrite(path);
  try {
    let position = 0;
    for await (const chunk of chunks) {
      await file.write(chunk, position);
      position += chunk.length;
    }
  } finally {
    await file.close();
  }
}

/** Size and sha256 of a file. */
export function sumFile(host: HostReader, path: string): Promise<FileSum> {
  return doing(`reading ${path}`, 'read-failed', async () => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of readFileChunks(host, path)) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    return { bytes, sha256: `sha256:${hash.digest('hex')}` };
  });
}

/** `chunks` as they are; throws `verify-mismatch` at their end where they are not what the bundle's index says of `name`. */
export async function* checkedChunks(
  chunks: AsyncIterable<Uint8Array>,
  expected: FileSum,
  name: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    bytes += chunk.length;
    yield chunk;
  }
  if (bytes !== expected.bytes || `sha256:${hash.digest('hex')}` !== expected.sha256)
    throw new MigrateError('verify-mismatch', `${name} is not as the index of the bundle says: it was cut or changed`);
}

/** Throws `not-found` and `verify-mismatch` where a file is not what the bundle's index says of it. */
export async function checkFile(host: HostReader, path: string, expected: FileSum): Promise<void> {
  if ((await host.linkStatus(path))?.kind !== 'file') throw new MigrateError('not-found', `${path} is missing`);
  await doing(`reading ${path}`, 'read-failed', async () => {
    for await (const _ of checkedChunks(readFileChunks(host, path), expected, path));
  });
}
