// Writing files so that a power cut leaves the old one or the new one.
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { doing, isSystemError, MigrateError } from '../error.ts';
import { onceReleased } from './held-files.ts';
import type { FileAttributes, GrowingFile, NewFile } from './host.ts';
import { absentAsUndefined, growingFile, writeAll } from './node-bytes.ts';

const copyChunkBytes = 1024 * 1024;

/**
 * Makes the names in a directory durable. Windows has no such call for a directory (FlushFileBuffers, fileapi.h) and says EPERM; NTFS
 * and FAT write the name of a file with the file.
 */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (thrown) {
    if (!isSystemError(thrown) || thrown.code !== 'EPERM') throw thrown;
  } finally {
    await handle.close();
  }
}

/** Sets mode, owner and time of an open file. */
export async function applyAttributes(handle: FileHandle, attributes: FileAttributes): Promise<void> {
  if (attributes.uid !== undefined && attributes.gid !== undefined) await handle.chown(attributes.uid, attributes.gid);
  // After chown, which clears set-id bits.
  await handle.chmod(attributes.mode);
  if (attributes.modifiedMs !== undefined)
    await handle.utimes(attributes.modifiedMs / 1000, attributes.modifiedMs / 1000);
}

/** Name of an unfinished file. */
export function temporaryName(path: string): string {
  // Always the same name, so that what a killed run left is found again and removed.
  return join(dirname(path), `.${basename(path)}.migrate-part`);
}

const remove = (path: string): Promise<void> => onceReleased(() => unlink(path));

async function replaceDurably(
  path: string,
  attributes: FileAttributes,
  fill: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  await absentAsUndefined(remove(temporary));
  // 0600 until the wanted attributes are set: the contents may be secret.
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await fill(handle);
    await applyAttributes(handle, attributes);
    await handle.sync();
    await renameOpen(handle, temporary, path);
  } catch (thrown) {
    await absentAsUndefined(remove(temporary));
    throw thrown;
  } finally {
    await handle.close();
  }
  await syncDirectory(dirname(path));
}

/**
 * On FAT the size lies beside the name, and a new name has none until the inode is written again, which the directory's fsync does not do
 * (fs/fat/namei_vfat.c): a power cut would leave an empty file.
 */
async function renameOpen(handle: FileHandle, from: string, to: string): Promise<void> {
  await onceReleased(() => rename(from, to));
  await handle.sync();
}

/** See Host.createFile. */
export function createFile(path: string, attributes: FileAttributes): Promise<NewFile> {
  return doing(`creating ${path}`, 'write-failed', async () => {
    const temporary = temporaryName(path);
    await absentAsUndefined(remove(temporary));
    const handle = await open(temporary, 'wx+', 0o600);
    let isCommitted = false;
    const file = growingFile(path, handle);
    // Spread would take the size as it is now.
    return Object.assign(file, {
      commit: () =>
        doing(`writing ${path}`, 'write-failed', async () => {
          await applyAttributes(handle, attributes);
          await handle.sync();
          if (!(await isNameOf(temporary, handle))) throw new MigrateError('busy', 'another run is writing it too');
          await renameOpen(handle, temporary, path);
          isCommitted = true;
          await syncDirectory(dirname(path));
        }),
      close: async () => {
        if (!isCommitted && (await isNameOf(temporary, handle))) await absentAsUndefined(remove(temporary));
        await handle.close();
      },
    });
  });
}

/** A second run removes what it takes for the rest of a killed one, so a name alone is no proof. */
async function isNameOf(path: string, handle: FileHandle): Promise<boolean> {
  const [named, own] = [await absentAsUndefined(stat(path)), await handle.stat()];
  return named?.ino === own.ino && named.dev === own.dev;
}

/** See Host.createScratchFile. */
export function createScratchFile(directory: string): Promise<GrowingFile> {
  return doing(`creating a temporary file in ${directory}`, 'write-failed', async () => {
    const path = join(directory, `.migrate-scratch-${randomUUID()}`);
    const handle = await open(path, 'wx+', 0o600);
    try {
      await remove(path);
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    return growingFile(`the temporary file in ${directory}`, handle);
  });
}

/** See Host.writeDurable. */
export function writeDurable(path: string, contents: Uint8Array, attributes: FileAttributes): Promise<void> {
  return doing(`writing ${path}`, 'write-failed', () =>
    replaceDurably(path, attributes, (handle) => writeAll(handle, contents, null)),
  );
}

/** See Host.copyDurable. */
export function copyDurable(from: string, to: string, attributes: FileAttributes): Promise<void> {
  return doing(`copying ${from} to ${to}`, 'write-failed', async () => {
    const source = await open(from, 'r');
    try {
      await replaceDurably(to, attributes, async (target) => {
        const chunk = Buffer.allocUnsafe(copyChunkBytes);
        for (;;) {
          const { bytesRead } = await source.read(chunk, 0, chunk.length, null);
          if (bytesRead === 0) return;
          await writeAll(target, chunk.subarray(0, bytesRead), null);
        }
      });
    } finally {
      await source.close();
    }
  });
}

/** See Host.overwriteInPlace. */
export function overwriteInPlace(path: string, contents: Uint8Array): Promise<void> {
  return doing(`overwriting ${path}`, 'write-failed', async () => {
    // Write-only: some files of /proc refuse to be read, even by root.
    const handle = await open(path, constants.O_WRONLY);
    try {
      const { size } = await handle.stat();
      if (size !== 0 && size !== contents.length) {
        throw new MigrateError('write-failed', `its size is ${size} bytes, not the expected ${contents.length}`);
      }
      await writeAll(handle, contents, 0);
      if (size !== 0) await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** See Host.createExclusive. */
export async function createExclusive(path: string, contents: Uint8Array, mode: number): Promise<void> {
  try {
    const handle = await open(path, 'wx', mode);
    try {
      await writeAll(handle, contents, null);
      await handle.sync();
      await syncDirectory(dirname(path));
    } catch (thrown) {
      // On a full disk the name is there and its contents are not.
      await remove(path).catch(() => {});
      throw thrown;
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if (isSystemError(thrown) && thrown.code === 'EEXIST')
      throw new MigrateError('locked', `${path} exists`, { cause: thrown });
    throw await doing(`creating ${path}`, 'write-failed', () => Promise.reject(thrown)).catch(
      (wrapped: unknown) => wrapped,
    );
  }
}
