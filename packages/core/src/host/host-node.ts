// The one real Host. With durable-files.ts, node-bytes.ts, node-tree.ts and run-command.ts it is all of the product that touches node:fs or
// starts programs.
import { constants } from 'node:fs';
import {
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
  symlink,
  unlink,
} from 'node:fs/promises';
import { machine } from 'node:os';
import { dirname } from 'node:path';
import { doing } from '../error.ts';
import { openDirect } from './direct-bytes.ts';
import {
  applyAttributes,
  copyDurable,
  createExclusive,
  createFile,
  createScratchFile,
  overwriteInPlace,
  syncDirectory,
  temporaryName,
  writeDurable,
} from './durable-files.ts';
import { onceReleased } from './held-files.ts';
import type { CommandOptions, CommandResult, Host, MountRequest } from './host.ts';
import { absentAsUndefined, openBytes, openReadWrite, readWhole, toStatus, writeAll } from './node-bytes.ts';
import { openLivingTree } from './node-tree.ts';
import { runCommand, runStream } from './run-command.ts';

const defaultReadLimitBytes = 8 * 1024 * 1024;

export interface NodeHostOptions {
  /** How the program zstd is started; "zstd" where it is left out. */
  readonly zstd?: readonly string[];
  /** How the program getfattr is started; "getfattr" where it is left out. */
  readonly getfattr?: readonly string[];
}

/** What is still in memory may be gigabytes, and the medium a slow card: only a hung one takes this long. */
const writeBackLimitMs = 3600_000;

/** Windows of up to 32 MiB: zstd makes larger ones only with --ultra or --long. */
const unzstdArguments = ['-dcq', '--memory=33554432'];

/** The Host of the machine that this process runs on. */
export function createNodeHost({ zstd = ['zstd'], getfattr = ['getfattr'] }: NodeHostOptions = {}): Host {
  const run = (command: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult> =>
    runCommand([command, ...args], options);
  return {
    ...(process.platform === 'win32' ? { system: 'windows' } : {}),
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
    unzstd: (input, signal) =>
      runStream([...zstd, ...unzstdArguments], {
        input,
        refusesWarnings: true,
        ...(signal === undefined ? {} : { signal }),
      }),
    freeSpace: (path) =>
      doing(`asking for the free space of ${path}`, 'read-failed', async () => {
        const space = await statfs(path);
        return { availableBytes: space.bavail * space.bsize, availableInodes: space.ffree };
      }),
    openRead: (path) => openBytes(path, constants.O_RDONLY),
    openTree: (path) => openLivingTree(path, getfattr),
    openWrite: (path) => openReadWrite(path),
    openDisk: openDirect,
    makeDirectory: (path, mode) =>
      doing(`making the directory ${path}`, 'write-failed', async () => {
        await mkdir(path, { mode });
        try {
          await syncDirectory(dirname(path));
        } catch (thrown) {
          // What failed must not be there.
          await rmdir(path).catch(() => {});
          throw thrown;
        }
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
        await absentAsUndefined(onceReleased(() => unlink(temporaryName(path))));
        await absentAsUndefined(onceReleased(() => unlink(path)));
        await absentAsUndefined(syncDirectory(dirname(path)));
      }),
    removeVariableFile: (path) =>
      doing(`removing ${path}`, 'write-failed', async () => {
        await absentAsUndefined(unlink(path));
      }),
    removeDirectory: (path) =>
      doing(`removing the directory ${path}`, 'write-failed', async () => {
        await absentAsUndefined(rmdir(path));
        await absentAsUndefined(syncDirectory(dirname(path)));
      }),
    createExclusive,
    createFile,
    createScratchFile,
    writeNew: (path, contents, attributes) =>
      doing(`writing ${path}`, 'write-failed', async () => {
        const handle = await open(path, 'wx', 0o600);
        try {
          await writeAll(handle, contents, null);
          await applyAttributes(handle, attributes);
        } finally {
          await handle.close();
        }
      }),
    makeSymlink: (target, path) => doing(`making the link ${path}`, 'write-failed', () => symlink(target, path)),
    rename: (from, to) =>
      doing(`renaming ${from} to ${to}`, 'write-failed', () => onceReleased(() => rename(from, to))),
    run,
    runStream: (command, args, options) => runStream([...(command === 'zstd' ? zstd : [command]), ...args], options),
    mount: async (request) => {
      await run('mount', mountArguments(request));
    },
    unmount: async (target) => {
      await run('umount', [target], { timeoutMs: writeBackLimitMs });
    },
    dropCaches: async () => {
      await run('sync', [], { timeoutMs: writeBackLimitMs });
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
