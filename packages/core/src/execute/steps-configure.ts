// Puts configuration into the partitions of the freshly flashed system, and reads it back from the medium.
import { readerOf } from '../disk/byte-reader.ts';
import { MigrateError } from '../error.ts';
import type { ByteReader, Host } from '../host/host.ts';
import { piecesOfFile } from '../lifeboat/lifeboat-record.ts';
import type { PlacedFile, StepOf } from '../plan/plan.ts';
import type { RedoableHandler, StepContext, StepHandlers } from './execute.ts';
import { openPayload, payloadPath, required } from './steps-stage2.ts';

const loopDevice = '/dev/loop0';

interface TargetPartition {
  readonly label: PlacedFile['partition'];
  readonly fileSystem: 'vfat' | 'ext4';
}

const bootPartition: TargetPartition = { label: 'resin-boot', fileSystem: 'vfat' };
const dataPartition: TargetPartition = { label: 'resin-data', fileSystem: 'ext4' };

interface FileToWrite {
  readonly path: string;
  readonly mode: number;
  /** Bytes, or a payload file; its path where it lies in RAM. */
  readonly contents: Uint8Array | { readonly open: () => Promise<ByteReader>; readonly ramPath?: string };
}

const compareBytes = 1024 * 1024;
/** Beside the log on resin-data. */
const reportPath = '/migrate-report.json';

const configureImage: RedoableHandler<StepOf<'configure-image'>> = {
  describe: ({ files }) => {
    const settings = files.filter(({ partition }) => partition === bootPartition.label).length;
    const backup = settings < files.length ? ', the backup' : '';
    return `write ${settings} configuration files${backup} and the log into the new system, and read them back`;
  },
  apply: async (step, context) => {
    const filesOf = ({ label }: TargetPartition): readonly FileToWrite[] =>
      step.files
        .filter(({ partition }) => partition === label)
        .map(({ path, mode, payload }) => ({ path, mode, contents: contentsOf(context, payload) }));
    await place(context, bootPartition, filesOf(bootPartition));
    await placeIfPossible(context, dataPartition, filesOf(dataPartition));
    const { log, report } = context;
    await place(context, dataPartition, [
      { path: step.logPath, mode: 0o600, contents: log() },
      ...(report === undefined ? [] : [{ path: reportPath, mode: 0o600, contents: report() }]),
    ]);
  },
  redo: true,
};

function contentsOf(context: StepContext, payload: string): FileToWrite['contents'] {
  const { lifeboat } = context;
  const isInLifeboat = lifeboat !== undefined && piecesOfFile(lifeboat, payload).length > 0;
  return {
    open: () => openPayload(context, payload),
    ...(isInLifeboat ? {} : { ramPath: payloadPath(context, payload) }),
  };
}

export const configureSteps: Pick<StepHandlers, 'configure-image'> = { 'configure-image': configureImage };

/** Writes the files and compares them on the medium; throws `verify-mismatch` where it has not kept them. */
async function place(context: StepContext, partition: TargetPartition, files: readonly FileToWrite[]): Promise<void> {
  await withPartition(context, partition, 'rw', (root) => writeFiles(context.host, root, files));
  // The page cache would answer for a medium that has lost the bytes.
  await context.host.dropCaches();
  await withPartition(context, partition, 'ro', (root) => checkFiles(context.host, root, files));
}

const backupAttempts = 3;

/**
 * As place, but a device that cannot keep its backup comes up without it: the old system is gone, and stage 2 starting over for
 * ever would help nobody. What is left of the files is removed, for the supervisor would stumble over half an archive.
 */
async function placeIfPossible(
  context: StepContext,
  partition: TargetPartition,
  files: readonly FileToWrite[],
): Promise<void> {
  if (files.length === 0) return;
  for (let attempt = 1; attempt <= backupAttempts; attempt += 1) {
    try {
      await place(context, partition, files);
      return;
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      const text = `the backup could not be written (attempt ${attempt} of ${backupAttempts}): ${thrown.message}`;
      context.emit({ kind: 'note', level: 'error', text });
    }
  }
  context.emit({ kind: 'note', level: 'error', text: 'the new system starts without the backup' });
  await withPartition(context, partition, 'rw', async (root) => {
    for (const { path } of files) await context.host.removeFile(`${root}${path}`);
  });
}

/**
 * Mounts a partition by its offset in the disk, since the kernel sees the new partition table only after the commit. A loop
 * device left by an attempt that failed is detached first.
 */
async function withPartition(
  context: StepContext,
  { label, fileSystem }: TargetPartition,
  access: 'ro' | 'rw',
  action: (root: string) => Promise<void>,
): Promise<void> {
  const { host, plan } = context;
  const root = `${required(context.ramDirectory, 'RAM directory')}/${label}`;
  const index = plan.image.labels[label];
  const partition = index === undefined ? undefined : plan.image.table.partitions[index];
  if (partition === undefined) throw new MigrateError('wrong-image', `the image has no partition ${label}`);
  await detach(host, root);
  await host.run('losetup', [
    '-o',
    String(partition.startByte),
    loopDevice,
    required(context.targetPath, 'target disk'),
  ]);
  try {
    if ((await host.status(root)) === undefined) await host.makeDirectory(root, 0o700);
    // Linux's default code page for FAT; ASCII names are all that is written.
    const options = fileSystem === 'vfat' ? [access, 'umask=0077', 'quiet'] : [access];
    await host.mount({ source: loopDevice, target: root, fileSystem, options });
    try {
      await action(root);
    } finally {
      await host.unmount(root);
    }
  } finally {
    await host.run('losetup', ['-d', loopDevice]);
  }
}

async function detach(host: Host, root: string): Promise<void> {
  const mounted = ((await host.readText('/proc/self/mountinfo')) ?? '').includes(` ${root} `);
  if (mounted) await host.unmount(root);
  if ((await host.readText('/sys/block/loop0/loop/backing_file')) !== undefined)
    await host.run('losetup', ['-d', loopDevice]);
}

async function writeFiles(host: Host, root: string, files: readonly FileToWrite[]): Promise<void> {
  for (const file of files) {
    const directories = file.path.split('/').slice(1, -1);
    let directory = root;
    for (const name of directories) {
      directory = `${directory}/${name}`;
      if ((await host.status(directory)) === undefined) await host.makeDirectory(directory, 0o700);
    }
    const { contents, mode } = file;
    if (contents instanceof Uint8Array) {
      await host.writeDurable(`${root}${file.path}`, contents, { mode });
    } else {
      // There may be no room for it twice, and an attempt that failed may have left it.
      const path = `${root}${file.path}`;
      await host.removeFile(path);
      if (contents.ramPath !== undefined) await host.copyDurable(contents.ramPath, path, { mode });
      else await copyInto(host, path, { mode, open: contents.open });
    }
  }
}

async function copyInto(
  host: Host,
  path: string,
  { mode, open }: { mode: number; open: () => Promise<ByteReader> },
): Promise<void> {
  const source = await open();
  const target = await host.createFile(path, { mode });
  try {
    const bytes = Buffer.alloc(compareBytes);
    for (let position = 0; ; ) {
      const count = await source.read(bytes, position);
      if (count === 0) break;
      await target.write(bytes.subarray(0, count), position);
      position += count;
    }
    await target.commit();
  } finally {
    await target.close();
    await source.close();
  }
}

async function checkFiles(host: Host, root: string, files: readonly FileToWrite[]): Promise<void> {
  for (const file of files) {
    const found = await host.openRead(`${root}${file.path}`);
    try {
      const { contents } = file;
      const wanted = contents instanceof Uint8Array ? readerOf(contents) : await contents.open();
      try {
        if (!(await isSame(found, wanted)))
          throw new MigrateError('verify-mismatch', `${file.path} was not kept by the new system's partition`);
      } finally {
        await wanted.close();
      }
    } finally {
      await found.close();
    }
  }
}

async function isSame(one: ByteReader, other: ByteReader): Promise<boolean> {
  if (one.sizeBytes !== other.sizeBytes) return false;
  const [left, right] = [Buffer.alloc(compareBytes), Buffer.alloc(compareBytes)];
  for (let position = 0; position < one.sizeBytes; position += compareBytes) {
    const length = await one.read(left, position);
    if (length === 0 || (await other.read(right, position)) !== length) return false;
    if (!left.subarray(0, length).equals(right.subarray(0, length))) return false;
  }
  return true;
}
