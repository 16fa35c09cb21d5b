// Stage-2 steps that need no knowledge of image formats: taking the payload to RAM and letting go of the target disk.
import { createHash } from 'node:crypto';
import { readSeal } from '../backup/backup-seal.ts';
import { windowsOf } from '../disk/byte-reader.ts';
import { MigrateError } from '../error.ts';
import type { ByteReader, Host } from '../host/host.ts';
import { piecesOfFile } from '../lifeboat/lifeboat-record.ts';
import { parseMountInfo, parseSwaps } from '../machine/mount-table.ts';
import type { PayloadFile, StepOf } from '../plan/plan.ts';
import type { ReadingHandler, StepContext, StepHandlers } from './execute.ts';

const copyChunkBytes = 1024 * 1024;

const loadPayload: ReadingHandler<StepOf<'load-payload'>> = {
  describe: (step) => `copy ${step.files.length} files to RAM and check them`,
  apply: async (step, context) => {
    const total = step.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    let before = 0;
    for (const file of step.files) {
      await loadFile(file, context, (done) =>
        context.emit({ kind: 'progress', text: `copying ${file.name}`, done: before + done, total, unit: 'bytes' }),
      );
      before += file.sizeBytes;
    }
  },
  undo: 'nothing-to-undo',
};

const loadBackup: ReadingHandler<StepOf<'load-backup'>> = {
  describe: ({ staysInPlace }) => (staysInPlace ? 'check the backup' : 'copy the backup to RAM and check it'),
  apply: async (step, context) => {
    const { host, plan, emit } = context;
    const sealPath = `${required(context.oldRoot, 'old root')}${step.sealInFileSystem}`;
    const { sizeBytes, sha256 } = await readSeal(host, sealPath, { planId: plan.id, limitBytes: step.limitBytes });
    const file = { name: step.name, pathInFileSystem: step.pathInFileSystem, sizeBytes, sha256 };
    const text = step.staysInPlace ? 'checking the backup' : 'copying the backup';
    await loadFile(
      file,
      context,
      (done) => emit({ kind: 'progress', text, done, total: sizeBytes, unit: 'bytes' }),
      step.staysInPlace,
    );
  },
  undo: 'nothing-to-undo',
};

const releaseTarget: ReadingHandler<StepOf<'release-target'>> = {
  describe: () => 'unmount the old system and make sure that nothing uses the target disk',
  apply: async (_step, context) => {
    const { host, oldRoot } = context;
    if (oldRoot !== undefined && (await mountsOf(host)).some((mount) => mount.target === oldRoot))
      await host.unmount(oldRoot);
    const users = await usersOfDisk(host, required(context.targetPath, 'target disk'));
    if (users.length > 0) throw new MigrateError('busy', `the target disk is in use: ${users.join(', ')}`);
    await rehearse(host);
  },
  undo: 'nothing-to-undo',
};

export const stage2Steps: Pick<StepHandlers, 'load-payload' | 'load-backup' | 'release-target'> = {
  'load-payload': loadPayload,
  'load-backup': loadBackup,
  'release-target': releaseTarget,
};

/** Path in RAM of a payload file. */
export function payloadPath(context: StepContext, name: string): string {
  return `${required(context.ramDirectory, 'RAM directory')}/${name}`;
}

/**
 * A payload file for reading, in RAM or where it lies in the lifeboat on the target disk; or where it still lies on the old file
 * system, from whose root the path is.
 */
export async function openPayload(context: StepContext, name: string, pathInFileSystem?: string): Promise<ByteReader> {
  const { host, lifeboat, oldRoot } = context;
  if (pathInFileSystem !== undefined) return host.openRead(`${required(oldRoot, 'old root')}${pathInFileSystem}`);
  const pieces = lifeboat === undefined ? [] : piecesOfFile(lifeboat, name);
  if (pieces.length === 0) return host.openRead(payloadPath(context, name));
  const disk = await host.openRead(required(context.targetPath, 'target disk'));
  return { ...windowsOf(disk, pieces), close: () => disk.close() };
}

/** A part of the context that only stage 2 has. */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`this step needs the ${what} of stage 2`);
  return value;
}

/** Copies with the hash taken from the bytes as they pass, so that what is in RAM is what was proven in stage 1. */
async function loadFile(
  file: PayloadFile,
  context: StepContext,
  onProgress: (doneBytes: number) => void,
  isOnlyChecked = false,
): Promise<void> {
  const { host } = context;
  const from =
    context.boardedFiles === undefined
      ? `${required(context.oldRoot, 'old root')}${file.pathInFileSystem}`
      : `${context.boardedFiles}/${file.name}`;
  const to = payloadPath(context, file.name);
  if (!isOnlyChecked) await host.writeDurable(to, new Uint8Array(), { mode: 0o600 });
  const source = await host.openRead(from);
  const target = isOnlyChecked ? undefined : await host.openWrite(to);
  try {
    const hash = createHash('sha256');
    const chunk = new Uint8Array(copyChunkBytes);
    let position = 0;
    for (;;) {
      const count = await source.read(chunk, position);
      if (count === 0) break;
      hash.update(chunk.subarray(0, count));
      await target?.write(chunk.subarray(0, count), position);
      position += count;
      onProgress(position);
    }
    const digest = hash.digest('hex');
    if (position !== file.sizeBytes || digest !== file.sha256) {
      throw new MigrateError(
        'verify-mismatch',
        `${from} has changed since stage 1: ${position} bytes, sha256 ${digest}`,
      );
    }
  } finally {
    await source.close();
    await target?.close();
  }
}

/** Tries what is only needed after the point of no return, while a failure still boots the old system. */
async function rehearse(host: Host): Promise<void> {
  await host.dropCaches();
  const known = (await host.readText('/proc/filesystems')) ?? '';
  for (const fileSystem of ['vfat', 'ext4']) {
    if (!new RegExp(`\\t${fileSystem}$`, 'm').test(known))
      throw new MigrateError('unsupported', `this kernel cannot mount ${fileSystem}`);
  }
  if ((await host.status('/dev/loop0')) === undefined)
    throw new MigrateError('unsupported', 'this kernel has no loop devices');
  await host.run('losetup', ['-f']);
}

async function mountsOf(host: Host): Promise<ReturnType<typeof parseMountInfo>> {
  return parseMountInfo((await host.readText('/proc/self/mountinfo')) ?? '');
}

/** Everything that holds a disk or a partition of it: mounts, swap, device-mapper and md devices; all at once. */
export async function usersOfDisk(host: Host, diskPath: string): Promise<readonly string[]> {
  const name = diskPath.replace(/^\/dev\//, '');
  const directories = [`/sys/block/${name}`];
  for (const entry of await host.list(`/sys/block/${name}`)) {
    if (entry.startsWith(name)) directories.push(`/sys/block/${name}/${entry}`);
  }
  const users: string[] = [];
  const mounts = await mountsOf(host);
  const swaps = parseSwaps((await host.readText('/proc/swaps')) ?? '');
  for (const directory of directories) {
    const device = (await host.readText(`${directory}/dev`))?.trim();
    const path = `/dev/${directory.slice(directory.lastIndexOf('/') + 1)}`;
    for (const mount of mounts) if (mount.device === device) users.push(`${path} is mounted on ${mount.target}`);
    if (swaps.includes(path)) users.push(`${path} is swap`);
    for (const holder of await host.list(`${directory}/holders`)) users.push(`${path} is held by ${holder}`);
  }
  return users;
}
