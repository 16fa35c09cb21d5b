// Puts configuration into the partitions of the freshly flashed system, and reads it back from the medium.
import { MigrateError } from '../error.ts';
import type { Host } from '../host/host.ts';
import type { PlacedFile, StepOf } from '../plan/plan.ts';
import type { RedoableHandler, StepContext, StepHandlers } from './execute.ts';
import { payloadPath, required } from './steps-stage2.ts';

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
  readonly contents: Uint8Array;
}

/** Beside the log on resin-data. */
const reportPath = '/migrate-report.json';

const configureImage: RedoableHandler<StepOf<'configure-image'>> = {
  describe: (step) =>
    `write ${step.files.length} configuration files and the log into the new system, and read them back`,
  apply: async (step, context) => {
    for (const partition of [bootPartition, dataPartition]) {
      const files: FileToWrite[] = [];
      for (const file of step.files.filter((candidate) => candidate.partition === partition.label)) {
        files.push({
          path: file.path,
          mode: file.mode,
          contents: await context.host.readFile(payloadPath(context, file.payload)),
        });
      }
      if (partition === dataPartition) {
        files.push({ path: step.logPath, mode: 0o600, contents: context.log() });
        if (context.report !== undefined) files.push({ path: reportPath, mode: 0o600, contents: context.report() });
      }
      await withPartition(context, partition, 'rw', (root) => writeFiles(context.host, root, files));
      // The page cache would answer for a medium that has lost the bytes.
      await context.host.dropCaches();
      await withPartition(context, partition, 'ro', (root) => checkFiles(context.host, root, files));
    }
  },
  redo: true,
};

export const configureSteps: Pick<StepHandlers, 'configure-image'> = { 'configure-image': configureImage };

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
    await host.writeDurable(`${root}${file.path}`, file.contents, { mode: file.mode });
  }
}

async function checkFiles(host: Host, root: string, files: readonly FileToWrite[]): Promise<void> {
  for (const file of files) {
    const found = await host.readFile(`${root}${file.path}`, { limitBytes: file.contents.length + 1 });
    if (Buffer.compare(Buffer.from(found), Buffer.from(file.contents)) !== 0) {
      throw new MigrateError('verify-mismatch', `${file.path} was not kept by the new system's partition`);
    }
  }
}
