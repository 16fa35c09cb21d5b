// The files of a layer as a tar archive, with all that overlayfs needs: whiteouts are device nodes, opaque directories attributes
// of the trusted namespace. GNU tar writes and reads it, since Node can neither make nodes nor set attributes.
import { createHash } from 'node:crypto';
import { doing, type Host, type HostReader, MigrateError } from '@migrate/core';
import type { Digest } from '../root/digest.ts';
import { copyTimeoutMs } from '../transplant/copy-timeout.ts';

const attributes = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner'];
const readBytes = 1024 * 1024;

export interface FileSum {
  readonly bytes: number;
  readonly sha256: Digest;
}

/** Packs the directory `diff` into the file `archive`; the same tree makes the same bytes. Names start with "./". */
export async function packLayer(host: Host, diff: string, archive: string): Promise<void> {
  const form = ['--format=posix', '--pax-option=delete=atime,delete=ctime', '--sort=name', '--sparse'];
  const args = ['--create', '--file', archive, ...form, ...attributes, '--directory', diff, '.'];
  await host.run('tar', args, { timeoutMs: copyTimeoutMs });
}

/** Unpacks into the new directory `diff`. GNU tar keeps names and links of a hostile archive inside of it, or fails. */
export async function unpackLayer(host: Host, archive: string, diff: string): Promise<void> {
  await host.run('mkdir', ['--', diff]);
  const form = ['--same-owner', '--preserve-permissions', '--delay-directory-restore'];
  const args = ['--extract', '--file', archive, ...form, ...attributes, '--directory', diff];
  await host.run('tar', args, { timeoutMs: copyTimeoutMs });
}

/** Size and sha256 of a file. */
export function sumFile(host: HostReader, path: string): Promise<FileSum> {
  return doing(`reading ${path}`, 'read-failed', async () => {
    const file = await host.openRead(path);
    try {
      const hash = createHash('sha256');
      const buffer = Buffer.alloc(readBytes);
      let bytes = 0;
      for (let length = await file.read(buffer, 0); length > 0; length = await file.read(buffer, bytes)) {
        hash.update(buffer.subarray(0, length));
        bytes += length;
      }
      return { bytes, sha256: `sha256:${hash.digest('hex')}` };
    } finally {
      await file.close();
    }
  });
}

/** Throws `verify-mismatch` where a file is not what the bundle's index says of it. */
export async function checkFile(host: HostReader, path: string, expected: FileSum): Promise<void> {
  if ((await host.linkStatus(path))?.kind !== 'file') throw new MigrateError('not-found', `${path} is missing`);
  const { bytes, sha256 } = await sumFile(host, path);
  if (bytes !== expected.bytes || sha256 !== expected.sha256)
    throw new MigrateError('verify-mismatch', `${path} is not as the index of the bundle says: it was cut or changed`);
}
