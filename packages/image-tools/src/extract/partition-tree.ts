// The file system of a partition as a tree, and how it was made.
import {
  type ByteReader,
  doing,
  type FileSystemSetting,
  type FileTree,
  MigrateError,
  type Partition,
  readExactly,
  readFileSystemSignature,
  windowOf,
} from '@migrate/core';
import { openExt4 } from '../ext4/ext4-reader.ts';
import { type FatVolume, openFat } from '../fat/fat-reader.ts';

export interface PartitionTree {
  readonly tree: FileTree;
  readonly fileSystem: FileSystemSetting;
  /** Room for files: blocks or clusters in use, and those that are not. */
  readonly usedBytes: number;
  readonly freeBytes: number;
}

/** Opens the FAT or ext2, ext3, ext4 in a partition of an image. Throws `unsupported` for any other, naming it. */
export async function openPartitionTree(image: ByteReader, partition: Partition): Promise<PartitionTree> {
  const reader = windowOf(image, partition.startByte, partition.sizeBytes);
  const type = (await readFileSystemSignature(reader, 0))?.type;
  return doing(`reading partition ${partition.number}`, 'read-failed', async () => {
    if (type === 'vfat') return fatTree(await openFat(reader));
    if (type === 'ext2' || type === 'ext3' || type === 'ext4') return extTree(reader, type);
    throw new MigrateError('unsupported', `it holds ${type ?? 'no known file system'}, where FAT or ext4 is expected`);
  });
}

const fatTypes = { FAT12: 'fat12', FAT16: 'fat16', FAT32: 'fat32' } as const;

async function fatTree(volume: FatVolume): Promise<PartitionTree> {
  const { type, serial, clusterBytes, clusterCount, bootLabel } = volume.geometry;
  const freeClusters = await volume.freeClusters();
  const label = volume.label ?? bootLabel;
  return {
    tree: volume,
    fileSystem: {
      type: fatTypes[type],
      ...(label === undefined ? {} : { label }),
      ...(serial === undefined ? {} : { uuid: serial }),
      blockBytes: clusterBytes,
    },
    usedBytes: (clusterCount - freeClusters) * clusterBytes,
    freeBytes: freeClusters * clusterBytes,
  };
}

/** Documentation/filesystems/ext4/super.rst: s_rev_level and s_inode_size; revision 0 has inodes of 128 bytes. */
const revisionByte = 1024 + 0x4c;
const inodeSizeByte = 1024 + 0x58;

async function extTree(reader: ByteReader, type: 'ext2' | 'ext3' | 'ext4'): Promise<PartitionTree> {
  const volume = await openExt4(reader);
  const { label, uuid, blockBytes, blockCount, freeBlocks, inodeCount, features } = volume;
  const revision = (await readExactly(reader, revisionByte, 4))?.readUInt32LE(0) ?? 0;
  const inodeBytes = revision === 0 ? 128 : ((await readExactly(reader, inodeSizeByte, 2))?.readUInt16LE(0) ?? 128);
  return {
    tree: volume,
    fileSystem: {
      type,
      ...(label === '' ? {} : { label }),
      uuid,
      blockBytes,
      inodes: inodeCount,
      inodeBytes,
      features,
    },
    usedBytes: (blockCount - freeBlocks) * blockBytes,
    freeBytes: freeBlocks * blockBytes,
  };
}
