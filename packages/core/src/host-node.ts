// The one real Host: the only product file that touches node:fs or starts programs.
import { constants, type Stats } from 'node:fs';
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rmdir,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { machine } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ExecaError, execa } from 'execa';
import { doing, isSystemError, MigrateError } from './error.ts';
import type {
  ByteWriter,
  CommandOptions,
  CommandResult,
  DeviceNumber,
  FileAttributes,
  FileStatus,
  Host,
  MountRequest,
} from './host.ts';

const defaultReadLimitBytes = 8 * 1024 * 1024;
const copyChunkBytes = 1024 * 1024;
const stderrTailBytes = 2000;
const defaultCommandTimeoutMs = 60_000;

/** The Host of the machine that this process runs on. */
export function createNodeHost(): Host {
  const run = (command: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult> =>
    runCommand([command, ...args], options);
  return {
    userId: process.getuid?.() ?? -1,
    machine: machine(),
    now: () => new Date(),
    readFile: (path, readOptions) => readWhole(path, readOptions?.limitBytes ?? defaultReadLimitBytes),
    readText: async (path) => {
      const bytes = await absentAsUndefined(readWhole(path, defaultReadLimitBytes));
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    },
    list: async (path) =>
      (await absentAsUndefined(doing(`listing ${path}`, 'read-failed', () => readdir(path))))?.sort() ?? [],
    status: async (path) =>
      toStatus(await absentAsUndefined(doing(`examining ${path}`, 'read-failed', () => stat(path)))),
    linkStatus: async (path) =>
      toStatus(await absentAsUndefined(doing(`examining ${path}`, 'read-failed', () => lstat(path)))),
    readLink: (path) => absentAsUndefined(readlink(path), ['ENOENT', 'EINVAL', 'ENOTDIR']),
    realPath: (path) => absentAsUndefined(realpath(path)),
    freeSpace: (path) =>
      doing(`asking for the free space of ${path}`, 'read-failed', async () => {
        const space = await statfs(path);
        return { availableBytes: space.bavail * space.bsize, availableInodes: space.ffree };
      }),
    openRead: (path) => openBytes(path, constants.O_RDONLY),
    openWrite: (path) => openBytes(path, constants.O_RDWR),
    makeDirectory: (path, mode) =>
      doing(`making the directory ${path}`, 'write-failed', async () => {
        await mkdir(path, { mode });
        await syncDirectory(dirname(path));
      }),
    writeDurable,
    copyDurable,
    overwriteInPlace,
    writeVariableFile: (path, contents) =>
      doing(`writing the firmware variable ${path}`, 'write-failed', async () => {
        const handle = await open(path, constants.O_WRONLY | constants.O_CREAT, 0o644);
        try {
          await handle.write(contents, 0, contents.length);
        } finally {
          await handle.close();
        }
      }),
    setAttributes: (path, attributes) =>
      doing(`setting the attributes of ${path}`, 'write-failed', async () => {
        const handle = await open(path, constants.O_RDONLY);
        try {
          await applyAttributes(handle, attributes);
          await handle.sync();
        } finally {
          await handle.close();
        }
      }),
    removeFile: (path) =>
      doing(`removing ${path}`, 'write-failed', async () => {
        await absentAsUndefined(unlink(temporaryName(path)));
        await absentAsUndefined(unlink(path));
        await absentAsUndefined(syncDirectory(dirname(path)));
      }),
    removeDirectory: (path) =>
      doing(`removing the directory ${path}`, 'write-failed', async () => {
        await absentAsUndefined(rmdir(path));
        await absentAsUndefined(syncDirectory(dirname(path)));
      }),
    createExclusive,
    run,
    mount: async (request) => {
      await run('mount', mountArguments(request));
    },
    unmount: async (target) => {
      await run('umount', [target]);
    },
    dropCaches: async () => {
      await run('sync', []);
      await overwriteInPlace('/proc/sys/vm/drop_caches', new TextEncoder().encode('3\n'));
    },
    reboot: async () => {
      await run('reboot', []);
    },
  };
}

function mountArguments({ source, target, fileSystem, options }: MountRequest): string[] {
  return ['-t', fileSystem, ...(options.length === 0 ? [] : ['-o', options.join(',')]), source, target];
}

async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [command = '', ...args] = argv;
  try {
    const result = await execa(command, args, {
      stdin: options.input === undefined ? 'ignore' : 'pipe',
      ...(options.input === undefined ? {} : { input: options.input }),
      timeout: options.timeoutMs ?? defaultCommandTimeoutMs,
      // Machine-readable output must not depend on the operator's language.
      env: { LC_ALL: 'C', LANGUAGE: 'C' },
      stripFinalNewline: false,
    });
    return { stdout: result.stdout, stderr: result.stderr };
  } catch (thrown) {
    if (!(thrown instanceof ExecaError)) throw thrown;
    const stderr = String(thrown.stderr ?? '').slice(-stderrTailBytes);
    throw new MigrateError(
      thrown.timedOut ? 'timeout' : 'command-failed',
      `${thrown.shortMessage}${stderr ? `: ${stderr.trim()}` : ''}`,
      {
        cause: thrown,
        data: { argv: [...argv], exitStatus: thrown.exitCode ?? null, stderr },
      },
    );
  }
}

async function absentAsUndefined<T>(promise: Promise<T>, codes = ['ENOENT', 'ENOTDIR']): Promise<T | undefined> {
  try {
    return await promise;
  } catch (thrown) {
    const cause = thrown instanceof MigrateError ? thrown.cause : thrown;
    if (isSystemError(cause) && codes.includes(cause.code)) return undefined;
    throw thrown;
  }
}

function toStatus(stats: Stats | undefined): FileStatus | undefined {
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
    device: deviceNumber(stats.dev),
    ...(isDevice ? { represents: deviceNumber(stats.rdev) } : {}),
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
function deviceNumber(value: number): DeviceNumber {
  const device = BigInt(value);
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

function readWhole(path: string, limitBytes: number): Promise<Uint8Array> {
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

async function openBytes(path: string, flags: number): Promise<ByteWriter> {
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

async function writeAll(handle: FileHandle, source: Uint8Array, position: number | null): Promise<void> {
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
  const { major, minor } = deviceNumber(stats.rdev);
  const text = new TextDecoder().decode(await readWhole(`/sys/dev/block/${major}:${minor}/size`, 64));
  return Number(text.trim()) * 512;
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function applyAttributes(handle: FileHandle, attributes: FileAttributes): Promise<void> {
  if (attributes.uid !== undefined && attributes.gid !== undefined) await handle.chown(attributes.uid, attributes.gid);
  // After chown, which clears set-id bits.
  await handle.chmod(attributes.mode);
  if (attributes.modifiedMs !== undefined)
    await handle.utimes(attributes.modifiedMs / 1000, attributes.modifiedMs / 1000);
}

function temporaryName(path: string): string {
  // Always the same name, so that what a killed run left is found again and removed.
  return join(dirname(path), `.${basename(path)}.migrate-part`);
}

async function replaceDurably(
  path: string,
  attributes: FileAttributes,
  fill: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  await absentAsUndefined(unlink(temporary));
  // 0600 until the wanted attributes are set: the contents may be secret.
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await fill(handle);
    await applyAttributes(handle, attributes);
    await handle.sync();
  } catch (thrown) {
    await handle.close();
    await absentAsUndefined(unlink(temporary));
    throw thrown;
  }
  await handle.close();
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

function writeDurable(path: string, contents: Uint8Array, attributes: FileAttributes): Promise<void> {
  return doing(`writing ${path}`, 'write-failed', () =>
    replaceDurably(path, attributes, (handle) => writeAll(handle, contents, null)),
  );
}

function copyDurable(from: string, to: string, attributes: FileAttributes): Promise<void> {
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

function overwriteInPlace(path: string, contents: Uint8Array): Promise<void> {
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

async function createExclusive(path: string, contents: Uint8Array, mode: number): Promise<void> {
  try {
    const handle = await open(path, 'wx', mode);
    try {
      await writeAll(handle, contents, null);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncDirectory(dirname(path));
  } catch (thrown) {
    if (isSystemError(thrown) && thrown.code === 'EEXIST')
      throw new MigrateError('locked', `${path} exists`, { cause: thrown });
    throw await doing(`creating ${path}`, 'write-failed', () => Promise.reject(thrown)).catch(
      (wrapped: unknown) => wrapped,
    );
  }
}
