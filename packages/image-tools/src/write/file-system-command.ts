// The commands that make and examine file systems, as argument arrays. Pure.
import { type FileSystemSetting, type FsImageSetting, MigrateError, type PartitionName } from '@migrate/core';
import { blockBytes, type DiskLayout, type PlannedPartition } from './disk-layout.ts';

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

/** What an ext file system is made with, recorded or as balenaOS makes it. */
export interface ExtParameters {
  readonly type: 'ext2' | 'ext3' | 'ext4';
  readonly blockBytes: number;
  readonly inodeBytes: number;
  readonly inodes: number;
  readonly features: readonly string[];
}

/**
 * Features of ext4 that every kernel and boot loader of balenaOS knows: mke2fs's own defaults up to 1.42, without 64bit (as the
 * images up to 2020 were made). Newer defaults such as metadata_csum_seed or orphan_file would keep an older kernel from
 * mounting, so they are used only where an image was recorded to have them.
 */
const plainFeatures: Readonly<Record<ExtParameters['type'], readonly string[]>> = {
  ext2: ['ext_attr', 'resize_inode', 'dir_index', 'filetype', 'sparse_super', 'large_file'],
  ext3: ['has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'filetype', 'sparse_super', 'large_file'],
  ext4: [
    ...['has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'filetype', 'extent', 'flex_bg', 'sparse_super'],
    ...['large_file', 'huge_file', 'uninit_bg', 'dir_nlink', 'extra_isize'],
  ],
};
/** States that a superblock lists among its features; they are no choice of who makes one. */
const stateFeatures = new Set(['needs_recovery', 'orphan_present']);
/** balenaOS makes its root file systems with `-i 8192` (meta-balena, image_types_balena.bbclass). */
const bytesPerInode = 8192;
/** mke2fs makes blocks of 1 KiB below this size (mke2fs.conf, "small"). */
const smallBytes = 512 * 1024 * 1024;
const defaultInodeBytes = 256;

export function isFat(partition: PlannedPartition, setting: FsImageSetting): boolean {
  const type = setting.partitions[partition.name].fileSystem?.type;
  return type === undefined ? partition.name === 'boot' : type.startsWith('fat');
}

export function partitionBytes(partition: PlannedPartition, layout: DiskLayout): number {
  return partition.sectors * layout.sectorBytes;
}

/**
 * Recorded parameters, or those that balenaOS is built with. A partition that grew gets inodes in proportion, so that it does
 * not run out of them before it runs out of blocks.
 */
export function extParameters(partition: PlannedPartition, setting: FsImageSetting, layout: DiskLayout): ExtParameters {
  const { blocks, fileSystem } = setting.partitions[partition.name];
  const sizeBytes = partitionBytes(partition, layout);
  const type = extType(fileSystem);
  const recordedBytes = blocks * blockBytes;
  const inodes =
    fileSystem?.inodes === undefined
      ? Math.ceil(sizeBytes / bytesPerInode)
      : Math.ceil(fileSystem.inodes * Math.max(1, sizeBytes / recordedBytes));
  return {
    type,
    blockBytes: fileSystem?.blockBytes ?? defaultBlockBytes(partition.name, recordedBytes),
    inodeBytes: fileSystem?.inodeBytes ?? defaultInodeBytes,
    inodes,
    features: (fileSystem?.features ?? plainFeatures[type]).filter((feature) => !stateFeatures.has(feature)),
  };
}

function extType(fileSystem: FileSystemSetting | undefined): ExtParameters['type'] {
  const type = fileSystem?.type;
  return type === 'ext2' || type === 'ext3' ? type : 'ext4';
}

/** State has blocks of 4 KiB at any size (meta-balena, image_types_balena.bbclass). */
function defaultBlockBytes(name: PartitionName, recordedBytes: number): number {
  return name !== 'state' && recordedBytes < smallBytes ? 1024 : 4096;
}

export interface MakeFileSystem {
  readonly partition: PlannedPartition;
  readonly setting: FsImageSetting;
  readonly layout: DiskLayout;
  /** Block device of the partition. */
  readonly device: string;
  /** File for the list of bad blocks that mkfs.vfat is given. */
  readonly badBlocksList: string;
}

/**
 * mkfs for a partition. `check: ro` becomes `-c` (a read test by badblocks), `rw` becomes `-cc` (a destructive write test),
 * `mkfs_direct` becomes `-D` (direct I/O). mkfs.vfat knows only the read test; see badBlocksCommand for the other.
 * Nothing is discarded: cards differ in what they give back afterwards.
 */
export function makeFileSystemCommand(request: MakeFileSystem): Command {
  return isFat(request.partition, request.setting) ? makeFat(request) : makeExt(request);
}

/** As makeFileSystemCommand, but mke2fs only reads `disk` and says whether it would take the arguments (`-n`). */
export function rehearseExtCommand(request: MakeFileSystem): Command {
  const { partition, setting, layout, device: disk } = request;
  const parameters = extParameters(partition, setting, layout);
  const blocks = Math.floor(partitionBytes(partition, layout) / parameters.blockBytes);
  const { command, args } = makeExt({ ...request, setting: { ...setting, check: 'none' } });
  return { command, args: ['-n', ...args.slice(0, -1), disk, String(blocks)] };
}

function makeFat({ partition, setting, layout, device, badBlocksList }: MakeFileSystem): Command {
  const fileSystem = setting.partitions[partition.name].fileSystem;
  const bits = fileSystem?.type.startsWith('fat') === true ? fileSystem.type.slice('fat'.length) : '16';
  const args = ['-F', bits, '-n', partition.label, '-S', String(layout.sectorBytes)];
  if (fileSystem?.blockBytes !== undefined) args.push('-s', sectorsPerCluster(fileSystem.blockBytes, layout));
  if (fileSystem?.uuid !== undefined) args.push('-i', fileSystem.uuid.replace('-', ''));
  if (setting.check === 'ro') args.push('-c');
  if (setting.check === 'rw') args.push('-l', badBlocksList);
  return { command: 'mkfs.vfat', args: [...args, device] };
}

/** A power of two up to 128 (Microsoft's FAT specification, BPB_SecPerClus). */
function sectorsPerCluster(clusterBytes: number, { sectorBytes }: DiskLayout): string {
  const sectors = clusterBytes / sectorBytes;
  if (![1, 2, 4, 8, 16, 32, 64, 128].includes(sectors)) {
    throw new MigrateError(
      'invalid-input',
      `balena.image.fs.boot.file_system.block_size is ${clusterBytes}, no cluster size on sectors of ${sectorBytes} bytes`,
    );
  }
  return String(sectors);
}

function makeExt({ partition, setting, layout, device }: MakeFileSystem): Command {
  const fileSystem = setting.partitions[partition.name].fileSystem;
  const { type, blockBytes: blockSize, inodeBytes, inodes, features } = extParameters(partition, setting, layout);
  const args = ['-F', '-L', partition.label, '-b', String(blockSize), '-I', String(inodeBytes), '-N', String(inodes)];
  // "none" clears what mke2fs.conf of this machine would add.
  args.push('-O', ['none', ...features].join(','), '-E', 'nodiscard');
  if (fileSystem?.uuid !== undefined) args.push('-U', fileSystem.uuid);
  if (setting.check !== 'none') args.push(setting.check === 'ro' ? '-c' : '-cc');
  if (setting.mkfsDirect) args.push('-D');
  return { command: `mkfs.${type}`, args: [...args, device] };
}

/** A destructive write test of a FAT partition; mkfs.vfat reads the list in blocks of 1024 bytes (dosfstools, mkfs.fat.c). */
export function badBlocksCommand({ device, badBlocksList }: MakeFileSystem): Command {
  return { command: 'badblocks', args: ['-w', '-s', '-b', '1024', '-o', badBlocksList, device] };
}
