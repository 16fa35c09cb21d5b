// The superblock: Documentation/filesystems/ext4/super.rst of Linux. Little-endian. The checks are those of ext4_fill_super.
import { type ByteReader, readExactly } from '@migrate/core';
import { crc32c } from './checksums.ts';
import { damaged, notReadable } from './ext4-error.ts';
import { type FeatureBits, featureNames, refuseUnreadable } from './features.ts';

/** Blocks are numbered from 0 at byte 0 of the file system, whatever the first block of the first group is. */
export interface Superblock {
  readonly label: string;
  readonly uuid: string;
  readonly uuidBytes: Uint8Array;
  readonly featureBits: FeatureBits;
  readonly features: readonly string[];
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly freeBlocks: number;
  /** First block of the first group; 1 where the boot block is a block of its own. */
  readonly firstBlock: number;
  readonly blocksPerGroup: number;
  readonly groupCount: number;
  /** Blocks that a bit of a block bitmap stands for; 1 without bigalloc. */
  readonly clusterBlocks: number;
  readonly inodeCount: number;
  readonly inodesPerGroup: number;
  readonly inodeBytes: number;
  /** Numbers below are reserved; of these only the root directory has a name. */
  readonly firstFreeInode: number;
  readonly descriptorBytes: number;
  /** Blocks kept behind the group descriptors so that the file system can grow. */
  readonly reservedDescriptorBlocks: number;
  /** Blocks of descriptors before this one lie together; those from it on in their own groups (meta_bg). */
  readonly firstMetaDescriptorBlock: number;
  /** With sparse_super2: the groups with copies of the superblock. */
  readonly backupGroups: readonly number[];
  /** Where all metadata have checksums, what they start from. */
  readonly checksumSeed?: number;
  /** Inodes behind the reserved ones that hold no file of anybody: the list of orphans, and quotas of projects. */
  readonly systemInodes: readonly number[];
  /** Unmounted, and the kernel has found no error since the last check. */
  readonly isClean: boolean;
}

const superblockByte = 1024;
/** 256 TiB of 4 KiB blocks; what may have to be read of a file system grows with its groups. */
const maximumGroups = 2 ** 21;
const rootInode = 2;

/** Throws `invalid-input` for what is no ext file system or a damaged one, `unsupported` for features that cannot be read. */
export async function readSuperblock(reader: ByteReader): Promise<Superblock> {
  const bytes = await readExactly(reader, superblockByte, 1024);
  if (bytes?.readUInt16LE(0x38) !== 0xef53) throw damaged('there is no superblock');
  const revision = bytes.readUInt32LE(0x4c);
  if (revision > 1) throw notReadable(`its revision ${revision} is not known; use a newer release`);
  const isOriginal = revision === 0;
  const featureBits = isOriginal
    ? { compatible: 0, incompatible: 0, readOnlyCompatible: 0 }
    : {
        compatible: bytes.readUInt32LE(0x5c),
        incompatible: bytes.readUInt32LE(0x60),
        readOnlyCompatible: bytes.readUInt32LE(0x64),
      };
  const features = featureNames(featureBits);
  const has = (name: string): boolean => features.includes(name);
  if (has('metadata_csum')) checkChecksum(bytes);
  refuseUnreadable(featureBits);

  const wide = (low: number, high: number): number =>
    bytes.readUInt32LE(low) + (has('64bit') ? bytes.readUInt32LE(high) * 2 ** 32 : 0);
  const uuidBytes = Uint8Array.from(bytes.subarray(0x68, 0x78));
  const checksumSeed = has('metadata_csum')
    ? { checksumSeed: has('metadata_csum_seed') ? bytes.readUInt32LE(0x270) : crc32c(0xffffffff, uuidBytes) }
    : {};
  const state = bytes.readUInt16LE(0x3a);
  const geometry = readGeometry(bytes, { has, isOriginal, blockCount: wide(0x4, 0x150) });
  if (geometry.blockCount * geometry.blockBytes > reader.sizeBytes) {
    throw damaged(
      `it is cut off: ${geometry.blockCount} blocks of ${geometry.blockBytes} bytes are more than the ${reader.sizeBytes} bytes there are`,
    );
  }
  return {
    ...geometry,
    ...checksumSeed,
    label: bytes.toString('utf8', 0x78, 0x88).replace(/\0.*$/s, ''),
    uuid: formatUuid(bytes.toString('hex', 0x68, 0x78)),
    uuidBytes,
    featureBits,
    features,
    freeBlocks: wide(0xc, 0x158),
    systemInodes: [bytes.readUInt32LE(0x26c), bytes.readUInt32LE(0x280)],
    isClean: (state & 1) === 1 && (state & 2) === 0,
  };
}

/** What Linux keeps back of free blocks, even from root, to be able to write metadata (ext4_set_resv_clusters). */
const keptClusters = 4096;

/** Bytes that root can still put into files. */
export function freeBytesForFiles({ freeBlocks, blockCount, blockBytes, clusterBlocks }: Superblock): number {
  const kept = Math.min(Math.floor(blockCount / clusterBlocks / 50), keptClusters) * clusterBlocks;
  return Math.max(0, freeBlocks - kept) * blockBytes;
}

type Geometry = Omit<
  Superblock,
  | 'label'
  | 'uuid'
  | 'uuidBytes'
  | 'featureBits'
  | 'features'
  | 'freeBlocks'
  | 'checksumSeed'
  | 'systemInodes'
  | 'isClean'
>;

function readGeometry(
  bytes: Buffer,
  { has, isOriginal, blockCount }: { has: (name: string) => boolean; isOriginal: boolean; blockCount: number },
): Geometry {
  const blockShift = bytes.readUInt32LE(0x18);
  ensure(blockShift <= 6, 'its blocks are larger than 64 KiB');
  const blockBytes = 1024 << blockShift;
  const clusterShift = has('bigalloc') ? bytes.readUInt32LE(0x1c) - blockShift : 0;
  ensure(clusterShift >= 0 && clusterShift <= 20, 'its clusters have an impossible size');
  const clusterBlocks = 2 ** clusterShift;
  const firstBlock = bytes.readUInt32LE(0x14);
  ensure(firstBlock <= (blockShift === 0 ? 1 : 0) && firstBlock < blockCount, 'its first block is an impossible one');
  const blocksPerGroup = bytes.readUInt32LE(0x20);
  ensure(
    // e2fsprogs makes no groups below 256 blocks; without this limit a small superblock could claim billions of groups.
    blocksPerGroup >= 256 &&
      blocksPerGroup % (8 * clusterBlocks) === 0 &&
      blocksPerGroup / clusterBlocks <= 8 * blockBytes,
    `it has ${blocksPerGroup} blocks to a group`,
  );
  const inodeBytes = isOriginal ? 128 : bytes.readUInt16LE(0x58);
  ensure(
    inodeBytes >= 128 && inodeBytes <= blockBytes && (inodeBytes & (inodeBytes - 1)) === 0,
    `it has inodes of ${inodeBytes} bytes`,
  );
  const inodesPerGroup = bytes.readUInt32LE(0x28);
  ensure(
    inodesPerGroup >= blockBytes / inodeBytes && inodesPerGroup <= 8 * blockBytes && inodesPerGroup % 8 === 0,
    `it has ${inodesPerGroup} inodes to a group`,
  );
  const groupCount = Math.ceil((blockCount - firstBlock) / blocksPerGroup);
  ensure(groupCount <= maximumGroups, `it has ${groupCount} groups`);
  const inodeCount = bytes.readUInt32LE(0);
  ensure(inodeCount === groupCount * inodesPerGroup, `${inodeCount} inodes do not fit its ${groupCount} groups`);
  const descriptorBytes = has('64bit') ? bytes.readUInt16LE(0xfe) : 32;
  ensure(
    !has('64bit') ||
      (descriptorBytes >= 64 && descriptorBytes <= 1024 && (descriptorBytes & (descriptorBytes - 1)) === 0),
    `it has group descriptors of ${descriptorBytes} bytes`,
  );
  const firstFreeInode = isOriginal ? 11 : bytes.readUInt32LE(0x54);
  ensure(firstFreeInode > rootInode, `its first free inode is ${firstFreeInode}`);
  const descriptorBlocks = Math.ceil(groupCount / (blockBytes / descriptorBytes));
  return {
    blockBytes,
    blockCount,
    firstBlock,
    blocksPerGroup,
    groupCount,
    clusterBlocks,
    inodeCount,
    inodesPerGroup,
    inodeBytes,
    firstFreeInode,
    descriptorBytes,
    reservedDescriptorBlocks: bytes.readUInt16LE(0xce),
    firstMetaDescriptorBlock: has('meta_bg') ? Math.min(bytes.readUInt32LE(0x104), descriptorBlocks) : descriptorBlocks,
    backupGroups: has('sparse_super2') ? [bytes.readUInt32LE(0x24c), bytes.readUInt32LE(0x250)] : [],
  };
}

function checkChecksum(bytes: Buffer): void {
  const type = bytes.readUInt8(0x175);
  if (type !== 1) throw notReadable(`its checksums are of the unknown type ${type}; use a newer release`);
  if (crc32c(0xffffffff, bytes, 0, 0x3fc) !== bytes.readUInt32LE(0x3fc)) {
    throw damaged('the checksum of its superblock is wrong');
  }
}

function ensure(holds: boolean, otherwise: string): void {
  if (!holds) throw damaged(otherwise);
}

function formatUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
