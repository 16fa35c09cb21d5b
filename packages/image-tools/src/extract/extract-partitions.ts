// The partitions of an image as archives, as the file-system way of flashing needs them.
import {
  type ByteReader,
  doing,
  type Emit,
  type ExpectedHash,
  type FsImageSetting,
  type HashAlgorithm,
  type Host,
  isExtended,
  MigrateError,
  type NewFile,
  type Partition,
  type PartitionArchive,
  type PartitionName,
  type PartitionTable,
} from '@migrate/core';
import { type Inspection, imageSectorBytes, inspectImage } from '../inspect/inspect-image.ts';
import { archivePartition } from './archive-partition.ts';
import { balenaPartitions, findBalenaPartitions, otherPartitions } from './balena-partitions.ts';
import { hasBootCode } from './boot-code.ts';
import { openPartitionTree, type PartitionTree } from './partition-tree.ts';
import { sideBySide } from './side-by-side.ts';

export interface ExtractOptions {
  readonly host: Host;
  readonly emit: Emit;
  /** balena's slug; the image's own, where it has one, should be the same. */
  readonly deviceType: string;
  /** Where the archives will lie; it must exist. */
  readonly directory: string;
  readonly hash: HashAlgorithm;
  readonly signal?: AbortSignal;
}

/** Reading, deflating and writing of two partitions overlap; more of them would only cost memory. */
const archivesAtOnce = 2;

/** Names of the archives, in the order of the partitions. */
export const archiveNames: readonly string[] = balenaPartitions.map(({ label }) => `${label}.tgz`);

/**
 * Writes `resin-{boot,rootA,rootB,state,data}.tgz` and returns what the configuration says of them (see fsSnippet). Needs no
 * root; memory is bounded whatever the size. The archives get their names together, once all of them are complete; else none
 * does. Throws `wrong-image` for anything but a raw image of balenaOS, `invalid-input` for damage, `unsupported` for file
 * systems that cannot be read, `cancelled`.
 */
export async function extractPartitions(image: ByteReader, options: ExtractOptions): Promise<FsImageSetting> {
  const { directory, emit, deviceType } = options;
  const inspection = await inspectImage(image, { readsBackup: true });
  const partitions = findBalenaPartitions(inspection);
  await noteWhatIsLeft(image, inspection, options);
  const jobs = await openAll(image, partitions);
  const total = jobs.reduce((sum, { opened }) => sum + opened.usedBytes, 0);
  let done = 0;
  const progress = (bytes: number): void => {
    done = Math.min(total, done + bytes);
    emit({ kind: 'progress', text: 'extracting', done, total, unit: 'bytes' });
  };
  const files: NewFile[] = [];
  const settings = new Map<PartitionName, PartitionArchive>();
  try {
    // The largest first, so that no core waits for a late one.
    const ordered = [...jobs].sort((a, b) => b.opened.usedBytes - a.opened.usedBytes);
    await sideBySide(ordered, archivesAtOnce, options.signal, async (job, signal) => {
      const { file, hash } = await archivePartition({
        ...options,
        path: `${directory}/${job.label}.tgz`,
        opened: job.opened,
        sizeBytes: job.partition.sizeBytes,
        signal,
        onNote: (text) => emit({ kind: 'note', level: 'warn', text: `${job.label}: ${text}` }),
        onData: progress,
      });
      files.push(file);
      settings.set(job.name, partitionSetting(job, hash, inspection.table));
    });
    for (const file of files) await file.commit();
    progress(total);
  } finally {
    for (const file of files) await file.close();
  }
  return settingOf(inspection.table, deviceType, settings);
}

interface Job {
  readonly name: PartitionName;
  readonly label: string;
  readonly partition: Partition;
  readonly opened: PartitionTree;
}

async function openAll(image: ByteReader, partitions: Readonly<Record<PartitionName, Partition>>): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const { name, label } of balenaPartitions) {
    const partition = partitions[name];
    const opened = await doing(label, 'read-failed', () => openPartitionTree(image, partition));
    jobs.push({ name, label, partition, opened });
  }
  return jobs;
}

/** Says what is in the image and will not be in the archives, and where image and device type do not fit. */
async function noteWhatIsLeft(image: ByteReader, inspection: Inspection, options: ExtractOptions): Promise<void> {
  const warn = (text: string): void => options.emit({ kind: 'note', level: 'warn', text });
  if (inspection.deviceType !== undefined && inspection.deviceType !== options.deviceType) {
    warn(`the image is for ${inspection.deviceType}, and is extracted for ${options.deviceType} as you asked`);
  }
  for (const { number, name } of otherPartitions(inspection)) {
    warn(
      `partition ${number}${name === undefined ? '' : ` (${name})`} is none of the five of balenaOS and is left out`,
    );
  }
  if (await hasBootCode(image, inspection)) {
    warn(
      'the image has boot code before its first partition, which no archive holds: a machine that starts by it (GRUB for BIOS, U-Boot on some boards) must be flashed with the whole image',
    );
  }
}

function settingOf(
  table: PartitionTable,
  deviceSlug: string,
  settings: ReadonlyMap<PartitionName, PartitionArchive>,
): FsImageSetting {
  const partition = (name: PartitionName): PartitionArchive => {
    const setting = settings.get(name);
    if (setting === undefined) throw new MigrateError('internal', `the partition ${name} was not archived`);
    return setting;
  };
  const extended = table.partitions.find(({ type }) => table.kind === 'mbr' && isExtended(type));
  return {
    kind: 'fs',
    deviceSlug,
    check: 'none',
    maxData: true,
    mkfsDirect: false,
    ...(extended === undefined ? {} : { extendedBlocks: extended.sizeBytes / imageSectorBytes }),
    table: table.kind,
    diskId: table.id,
    partitions: {
      boot: partition('boot'),
      rootA: partition('rootA'),
      rootB: partition('rootB'),
      state: partition('state'),
      data: partition('data'),
    },
  };
}

function partitionSetting(
  { label, partition, opened }: Job,
  hash: ExpectedHash,
  table: PartitionTable,
): PartitionArchive {
  return {
    blocks: partition.sizeBytes / imageSectorBytes,
    archive: { path: `${label}.tgz`, hash },
    startBlock: partition.startByte / imageSectorBytes,
    type: partition.type,
    ...(table.kind === 'gpt' ? { uuid: partition.uuid } : {}),
    fileSystem: opened.fileSystem,
  };
}
