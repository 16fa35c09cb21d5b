// Random access to files and block devices over node:fs.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { doing, isSystemError, MigrateError } from '../error.ts';
import type { ByteWriter, DeviceNumber, FileStatus, GrowingFile } from './host.ts';

/** Undefined instead of an error where nothing is there. */
export async function absentAsUndefined<T>(promise: Promise<T>, codes = ['ENOENT', 'ENOTDIR']): Promise<T | undefined> {
  try {
    return await promise;
  } catch (thrown) {
    const cause = thrown instanceof MigrateError ? thrown.cause : thrown;
    if (isSystemError(cause) && codes.includes(cause.code)) return undefined;
    throw thrown;
  }
}

/** Node's status as ours. */
export function toStatus(stats: Stats | undefined): FileStatus | undefined {
  if (stats === undefined) return undefined;
  const kind = kindOf(stats);
  const isDevice = kind === 'block-device' || kind === 'character-device';
  return {
    kind,
    sizeBytes: stats.size,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    modifiedMs: stats.mtimeMs,
    device: toDeviceNumber(BigInt(stats.dev)),
    ...(isDevice ? { represents: toDeviceNumber(BigInt(stats.rdev)) } : {}),
  };
}

function kindOf(stats: Stats): FileStatus['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isBlockDevice()) return 'block-device';
  if (stats.isCharacterDevice()) return 'character-device';
  return 'other';
}

/** glibc's encoding of dev_t (sysdeps/unix/sysv/linux/makedev): 12 + 20 bits of major, 8 + 24 bits of minor. */
export function toDeviceNumber(device: bigint): DeviceNumber {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

/** All of a file, up to a limit in bytes; throws `read-failed` beyond it. */
export function readWhole(path: string, limitBytes: number): Promise<Uint8Array> {
  return doing(`reading ${path}`, 'read-failed', async () => {
    const handle = await open(path, 'r');
    try {
      // Files in /proc and /sys report a size of 0 or a page, so the size is not trusted.
      const chunks: Uint8Array[] = [];
      let total = 0;
      for (;;) {
        const chunk = new Uint8Array(64 * 1024);
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
        if (bytesRead === 0) break;
        total += bytesRead;
        if (total > limitBytes) throw new MigrateError('read-failed', `it is larger than ${limitBytes} bytes`);
        chunks.push(chunk.subarray(0, bytesRead));
      }
      return Buffer.concat(chunks, total);
    } finally {
      await handle.close();
    }
  });
}

/** Opens a file or block device for positional access; `flags` as open(2). */
export async function openBytes(path: string, flags: number): Promise<ByteWriter> {
  return doing(`opening ${path}`, 'read-failed', async () => {
    const handle = await open(path, flags);
    try {
      return bytesOf(path, handle, await sizeOf(handle));
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  });
}

/** As openBytes, for reading and writing; past the page cache (O_DIRECT) where asked. */
export function openReadWrite(path: string, { isDirect = false } = {}): Promise<ByteWriter> {
  return openBytes(path, constants.O_RDWR | (isDirect ? constants.O_DIRECT : 0));
}

function bytesOf(path: string, handle: FileHandle, sizeBytes: number): ByteWriter {
  return {
    sizeBytes,
    read: (target, position) =>
      doing(`reading ${path} at byte ${position}`, 'read-failed', async () => {
        let done = 0;
        while (done < target.length) {
          const { bytesRead } = await handle.read(target, done, target.length - done, position + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        return done;
      }),
    write: (source, position) =>
      doing(`writing ${path} at byte ${position}`, 'write-failed', () => writeAll(handle, source, position)),
    flush: () => doing(`flushing ${path}`, 'write-failed', () => handle.sync()),
    close: () => handle.close(),
  };
}

/** Access to a file that was opened empty and grows as it is written. */
export function growingFile(path: string, handle: FileHandle): GrowingFile {
  const bytes = bytesOf(path, handle, 0);
  let sizeBytes = 0;
  return {
    ...bytes,
    get sizeBytes() {
      return sizeBytes;
    },
    write: async (source, position) => {
      await bytes.write(source, position);
      sizeBytes = Math.max(sizeBytes, position + source.length);
    },
    setSize: (wantedBytes) =>
      doing(`setting the size of ${path}`, 'write-failed', async () => {
        await handle.truncate(wantedBytes);
        sizeBytes = wantedBytes;
      }),
  };
}

/** Writes all of `source`, at `position` or at the file's own; a device that takes no more is an error. */
export async function writeAll(handle: FileHandle, source: Uint8Array, position: number | null): Promise<void> {
  let done = 0;
  while (done < source.length) {
    const at = position === null ? null : position + done;
    const { bytesWritten } = await handle.write(source, done, source.length - done, at);
    if (bytesWritten === 0) throw new MigrateError('write-failed', 'the device took no more bytes');
    done += bytesWritten;
  }
}

/** Size in bytes of an open file; of a block device by sysfs, as Node offers no ioctl and stat reports 0. */
async function sizeOf(handle: FileHandle): Promise<number> {
  const stats = await handle.stat();
  if (!stats.isBlockDevice()) return stats.size;
  const { major, minor } = toDeviceNumber(BigInt(stats.rdev));
  const text = new TextDecoder().decode(await readWhole(`/sys/dev/block/${major}:${minor}/size`, 64));
  return Number(text.trim()) * 512;
}
