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
    // Blocks cannot be smaller than the disk's sectors.
    blockBytes: Math.max(
      layout.sectorBytes,
      fileSystem?.blockBytes ?? defaultBlockBytes(partition.name, recordedBytes),
    ),
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
  /** File for the list of bad blocks that mkfs is given. */
  readonly badBlocksList: string;
}

/**
 * mkfs for a partition. `check: ro` becomes `-c` (a read test by badblocks), `mkfs_direct` becomes `-D` (direct I/O), and `rw`
 * takes the list of an own write test (`-l`): mkfs.vfat has none, and that of mke2fs (`-cc`) does not see a failing write where
 * blocks are smaller than a page. Nothing is discarded: cards differ in what they give back afterwards.
 */
export function makeFileSystemCommand(request: MakeFileSystem): Command {
  return isFat(request.partition, request.setting) ? makeFat(request) : makeExt(request);
}

/**
 * A rehearsal of makeFileSystemCommand without the search for bad blocks: mke2fs only reads `disk` and says whether it would
 * take the arguments (`-n`); mkfs.vfat, which has no such option, makes its file system in `scratch`, a file that must not be
 * there and of which little more than the FATs takes room.
 */
export function rehearsalCommand(
  request: Omit<MakeFileSystem, 'device' | 'badBlocksList'>,
  { disk, scratch }: { disk: string; scratch: string },
): Command {
  const { partition, layout } = request;
  const setting = { ...request.setting, check: 'none' as const };
  const sizeBytes = partitionBytes(partition, layout);
  if (isFat(partition, setting)) {
    const { command, args } = makeFat({ ...request, setting, device: scratch, badBlocksList: '' });
    return { command, args: ['-C', ...args, String(Math.floor(sizeBytes / 1024))] };
  }
  const { command, args } = makeExt({ ...request, setting, device: disk, badBlocksList: '' });
  const blocks = Math.floor(sizeBytes / extParameters(partition, setting, layout).blockBytes);
  return { command, args: ['-n', ...args, String(blocks)] };
}

function makeFat(request: MakeFileSystem): Command {
  const { partition, setting, layout, device } = request;
  const fileSystem = setting.partitions[partition.name].fileSystem;
  const bits = fileSystem?.type.startsWith('fat') === true ? fileSystem.type.slice('fat'.length) : '16';
  const args = ['-F', bits, '-n', partition.label, '-S', String(layout.sectorBytes)];
  // mkfs.vfat's own choice would leave FAT16 too few clusters where sectors are large.
  const clusterBytes = fileSystem?.blockBytes ?? (layout.sectorBytes > blockBytes ? layout.sectorBytes : undefined);
  if (clusterBytes !== undefined) args.push('-s', sectorsPerCluster(clusterBytes, layout));
  if (fileSystem?.uuid !== undefined) args.push('-i', fileSystem.uuid.replace('-', ''));
  args.push(...checkArguments(request));
  return { command: 'mkfs.vfat', args: [...args, device] };
}

function checkArguments({ setting: { check }, badBlocksList }: MakeFileSystem): readonly string[] {
  if (check === 'none') return [];
  return check === 'ro' ? ['-c'] : ['-l', badBlocksList];
}

/** A power of two up to 128 (Microsoft's FAT specification, BPB_SecPerClus). */
function sectorsPerCluster(clusterBytes: number, { sectorBytes }: DiskLayout): string {
  const sectors = Math.max(1, clusterBytes / sectorBytes);
  if (![1, 2, 4, 8, 16, 32, 64, 128].includes(sectors)) {
    throw new MigrateError(
      'invalid-input',
      `balena.image.fs.boot.file_system.block_size is ${clusterBytes}, no cluster size on sectors of ${sectorBytes} bytes`,
    );
  }
  return String(sectors);
}

function makeExt(request: MakeFileSystem): Command {
  const { partition, setting, layout, device } = request;
  const fileSystem = setting.partitions[partition.name].fileSystem;
  const { type, blockBytes: blockSize, inodeBytes, inodes, features } = extParameters(partition, setting, layout);
  const args = ['-F', '-L', partition.label, '-b', String(blockSize), '-I', String(inodeBytes), '-N', String(inodes)];
  // "none" clears what mke2fs.conf of this machine would add.
  args.push('-O', ['none', ...features].join(','), '-E', 'nodiscard');
  if (fileSystem?.uuid !== undefined) args.push('-U', fileSystem.uuid);
  args.push(...checkArguments(request));
  if (setting.mkfsDirect) args.push('-D');
  return { command: `mkfs.${type}`, args: [...args, device] };
}

/** A page: badblocks bypasses the page cache, where a failed write would go unseen, only for whole pages (badblocks.c). */
const testedBytes = 4096;

/** The destructive write test of `check: rw`; it lists bad blocks of 4096 bytes. */
export function writeTestCommand({ device, badBlocksList }: MakeFileSystem): Command {
  return { command: 'badblocks', args: ['-w', '-s', '-b', String(testedBytes), '-o', badBlocksList, device] };
}

/** A list of bad blocks of 4096 bytes in the blocks that mkfs counts; mkfs.vfat counts 1024 bytes (dosfstools, mkfs.fat.c). */
export function badBlocksFor({ partition, setting, layout }: MakeFileSystem, list: string): string {
  const size = isFat(partition, setting) ? 1024 : extParameters(partition, setting, layout).blockBytes;
  const blocks = new Set<number>();
  for (const line of list.split('\n').filter((text) => text !== '')) {
    const startByte = Number(line) * testedBytes;
    for (let byte = startByte; byte < startByte + testedBytes; byte += size) blocks.add(Math.floor(byte / size));
  }
  return [...blocks].map((block) => `${block}\n`).join('');
}
