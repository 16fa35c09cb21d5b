// Writes balenaOS onto a disk file system by file system, as an alternative to the whole image for media with bad blocks:
// partitions and file systems are made anew, bad blocks set aside where asked, and archives unpacked.
import {
  doing,
  type Emit,
  type FsImageSetting,
  type Host,
  type HostReader,
  MigrateError,
  type PartitionName,
} from '@migrate/core';
import { type DiskLayout, layoutOf, type PlannedPartition } from './disk-layout.ts';
import {
  badBlocksFor,
  type Command,
  extParameters,
  isFat,
  type MakeFileSystem,
  makeFileSystemCommand,
  partitionBytes,
  rehearsalCommand,
  writeTestCommand,
} from './file-system-command.ts';
import { type ArchiveFacts, inspectArchive } from './inspect-archive.ts';
import { forgetPartitions, kernelName, withPartitionNodes } from './partition-nodes.ts';
import { partitionArguments, partitionScript } from './partition-script.ts';
import { restoreExt } from './restore-ext.ts';
import { restoreFat } from './restore-fat.ts';
import { makeWithheldTable, type WithheldTable, wipeSignatures } from './withheld-table.ts';
import { checkWriterTools } from './writer-tools.ts';

export interface FileSystemWrite {
  readonly host: Host;
  readonly emit: Emit;
  /** The whole disk, a block device; see withBlockDevice for an image file. */
  readonly disk: string;
  readonly setting: FsImageSetting;
  /** An existing directory for the mount point and small files. */
  readonly workDirectory: string;
}

/** What is known before anything is written. Plain data. */
export interface PreparedFileSystems {
  readonly layout: DiskLayout;
  readonly archives: Readonly<Record<PartitionName, ArchiveFacts>>;
}

/** A write test of a large card takes hours. */
const longestMs = 7 * 24 * 3_600_000;

/**
 * Everything that can be known to be wrong before the first write: missing or unfit tools, a disk that is too small, settings
 * that mke2fs would not take, archives that are damaged, hostile, not as configured, or too large. Writes nothing to the disk.
 */
export async function prepareFileSystems(request: FileSystemWrite): Promise<PreparedFileSystems> {
  const { host, setting, disk, workDirectory } = request;
  await checkWriterTools(host, setting);
  const layout = layoutOf(setting, await diskShape(host, disk));
  await doing('rehearsing to make the partitions', 'command-failed', () =>
    host.run('sfdisk', ['--no-act', ...partitionArguments(disk)], { input: partitionScript(layout) }),
  );
  const scratch = `${workDirectory}/rehearsal`;
  for (const partition of layout.partitions) {
    await host.removeFile(scratch);
    const rehearsal = rehearsalCommand({ partition, setting, layout }, { disk, scratch });
    await run(host, rehearsal, `rehearsing to make ${partition.label}`);
    await host.removeFile(scratch);
  }
  return { layout, archives: await inspectArchives(request, layout) };
}

/** Reads the archives of all partitions to their ends; see inspectArchive. */
export async function inspectArchives(
  { host, emit, setting }: Pick<FileSystemWrite, 'emit' | 'setting'> & { host: HostReader },
  layout: DiskLayout,
): Promise<PreparedFileSystems['archives']> {
  const facts = new Map<PartitionName, ArchiveFacts>();
  for (const partition of layout.partitions) {
    facts.set(
      partition.name,
      await inspectArchive({
        host,
        emit,
        reference: setting.partitions[partition.name].archive,
        sizeBytes: partitionBytes(partition, layout),
        fileSystem: isFat(partition, setting) ? 'fat' : extParameters(partition, setting, layout),
      }),
    );
  }
  return Object.fromEntries(facts) as PreparedFileSystems['archives'];
}

/**
 * Wipes the disk and writes everything but the partition table, which is returned for commitTable: until then a power cut
 * leaves a disk that nothing takes for a system. The boot partition comes last. It may be run again from its start. All is
 * durable and compared with the archives when it returns.
 */
export async function writeFileSystems(
  request: FileSystemWrite,
  { layout, archives }: PreparedFileSystems,
): Promise<WithheldTable> {
  const { host, emit, disk, setting } = request;
  await forgetPartitions(host, disk);
  const withheld = await doing(`partitioning ${disk}`, 'write-failed', async () => {
    const target = await host.openWrite(disk);
    try {
      await wipeSignatures(target, layout, emit);
      return await makeWithheldTable(host, { disk, target, layout });
    } finally {
      await target.close();
    }
  });
  const bootLast = [...layout.partitions].sort((a, b) => Number(a.name === 'boot') - Number(b.name === 'boot'));
  await withPartitionNodes({ host, disk, layout }, async (deviceOf) => {
    for (const partition of bootLast) {
      const device = deviceOf(partition);
      await makeFileSystem(makeRequest(request, { partition, layout, device }), request);
      const common = { host, emit, device, label: partition.label, archive: archives[partition.name] };
      if (isFat(partition, setting)) {
        await restoreFat(common);
      } else {
        const fileSystem = extParameters(partition, setting, layout).type;
        await withMountPoint(request, (mountPoint) => restoreExt({ ...common, fileSystem, mountPoint }));
      }
    }
  });
  return withheld;
}

function makeRequest(
  { setting, workDirectory }: FileSystemWrite,
  place: { partition: PlannedPartition; layout: DiskLayout; device: string },
): MakeFileSystem {
  return { ...place, setting, badBlocksList: `${workDirectory}/bad-blocks` };
}

async function makeFileSystem(make: MakeFileSystem, { host, emit }: FileSystemWrite): Promise<void> {
  const { partition, setting, layout } = make;
  const total = partitionBytes(partition, layout);
  const text = `${setting.check === 'none' ? 'making' : 'testing the blocks of'} ${partition.label}`;
  const onOutput = (said: string): void => {
    const share = percentOf(said);
    if (share !== undefined) emit({ kind: 'progress', text, done: Math.round(total * share), total, unit: 'bytes' });
  };
  emit({ kind: 'progress', text, done: 0, total, unit: 'bytes' });
  if (setting.check === 'rw') {
    await run(host, writeTestCommand(make), `testing the blocks of ${partition.label}`, onOutput);
    const list = (await host.readText(make.badBlocksList)) ?? '';
    await host.writeDurable(make.badBlocksList, Buffer.from(badBlocksFor(make, list)), { mode: 0o600 });
  }
  await run(host, makeFileSystemCommand(make), `making the file system ${partition.label}`, onOutput);
  await host.removeFile(make.badBlocksList);
  emit({ kind: 'progress', text, done: total, total, unit: 'bytes' });
}

/** The last "12.34% done" that badblocks said, as a share of 1. */
export function percentOf(said: string): number | undefined {
  const last = [...said.matchAll(/(\d+(?:\.\d+)?)% done/g)].at(-1)?.[1];
  return last === undefined ? undefined : Math.min(1, Number(last) / 100);
}

async function run(
  host: Host,
  { command, args }: Command,
  phrase: string,
  onOutput: (text: string) => void = () => {},
): Promise<void> {
  await doing(phrase, 'command-failed', () => host.run(command, args, { timeoutMs: longestMs, onOutput }));
}

async function withMountPoint(
  { host, workDirectory }: FileSystemWrite,
  action: (mountPoint: string) => Promise<void>,
): Promise<void> {
  const mountPoint = `${workDirectory}/file-system`;
  if ((await host.status(mountPoint)) === undefined) await host.makeDirectory(mountPoint, 0o700);
  await action(mountPoint);
  await host.removeDirectory(mountPoint);
}

async function diskShape(host: HostReader, disk: string): Promise<{ sizeBytes: number; sectorBytes: number }> {
  if ((await host.status(disk))?.kind !== 'block-device') throw new MigrateError('wrong-disk', `${disk} is no disk`);
  const text = await host.readText(`/sys/block/${await kernelName(host, disk)}/queue/logical_block_size`);
  const reader = await host.openRead(disk);
  try {
    return { sizeBytes: reader.sizeBytes, sectorBytes: Number(text?.trim() ?? 512) };
  } finally {
    await reader.close();
  }
}

/** Runs `action` on a block device: the path itself, or a loop device over it where it is a file. */
export async function withBlockDevice<T>(host: Host, path: string, action: (disk: string) => Promise<T>): Promise<T> {
  if ((await host.status(path))?.kind !== 'file') return action(path);
  const { stdout } = await host.run('losetup', ['--find', '--show', path]);
  const disk = stdout.trim();
  try {
    return await action(disk);
  } finally {
    await host.run('losetup', ['--detach', disk]);
  }
}
