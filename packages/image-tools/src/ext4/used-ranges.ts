// Which blocks are in use: Documentation/filesystems/ext4/bitmaps.rst of Linux; what bitmaps that were never written would say:
// ext4_init_block_bitmap in fs/ext4/balloc.c.
import { type ByteRange, MigrateError } from '@migrate/core';
import { crc32c } from './checksums.ts';
import { damaged, notReadable } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';
import { unknownToBitmaps } from './features.ts';
import { firstDescriptorBlock, type GroupDescriptor, groupStart, hasSuperblock } from './group-descriptors.ts';
import { rangeCollector } from './range-collector.ts';
import type { Superblock } from './superblock.ts';

/** A run of blocks, the end not included. */
type AddRun = (start: number, end: number) => void;

/**
 * Bytes that blocks in use take, ascending and apart; only those of a part of the file system where that is given. Where scattered
 * blocks would make too many ranges, short gaps between them count as used. Throws `invalid-input` where bitmaps cannot be trusted:
 * writing too little would lose files.
 */
export async function readUsedRanges(
  source: Ext4Source,
  within: ByteRange = { startByte: 0, endByte: Number.POSITIVE_INFINITY },
): Promise<readonly ByteRange[]> {
  const { superblock } = source;
  const unknown = unknownToBitmaps(superblock.featureBits);
  if (unknown !== undefined) throw notReadable(`${unknown} may change what its bitmaps mean; use the whole partition`);
  if (!superblock.isClean) {
    throw new MigrateError(
      'invalid-input',
      'the ext file system was not unmounted, or the kernel found errors in it, so its bitmaps may be wrong; run e2fsck -fy on it',
    );
  }
  const { blockBytes } = superblock;
  const used = rangeCollector();
  const add: AddRun = (start, end) =>
    used.add(
      Math.max(start * blockBytes, within.startByte),
      Math.min(Math.min(end, superblock.blockCount) * blockBytes, within.endByte),
    );
  // What comes before the first group, and a boot loader before the superblock.
  add(0, superblock.firstBlock + 1);
  for (let group = 0; group < superblock.groupCount; group += 1) {
    const descriptor = await source.group(group);
    addMetadata(superblock, { group, descriptor, add });
    await checkInodeBitmap(source, group, descriptor);
    if (!descriptor.isBlockBitmapUnset) await addBitmap(source, { group, descriptor, add });
  }
  return used.ranges();
}

interface Group {
  readonly group: number;
  readonly descriptor: GroupDescriptor;
  readonly add: AddRun;
}

/** Copies of the superblock and of descriptors, bitmaps and inode table: sound bitmaps have them, unset ones must. */
function addMetadata(superblock: Superblock, { group, descriptor, add }: Group): void {
  const { blockBytes, descriptorBytes, firstMetaDescriptorBlock, reservedDescriptorBlocks } = superblock;
  const start = groupStart(superblock, group);
  const descriptors = firstDescriptorBlock(superblock, group);
  const perBlock = blockBytes / descriptorBytes;
  const isMeta = Math.floor(group / perBlock) >= firstMetaDescriptorBlock;
  if (hasSuperblock(superblock, group)) {
    const behind = isMeta ? 0 : firstMetaDescriptorBlock + reservedDescriptorBlocks;
    add(start, Math.min(start + superblock.blocksPerGroup, descriptors + behind));
  }
  // A block of descriptors lies in the first group that it describes, copies in the second and the last.
  if (isMeta && [0, 1, perBlock - 1].includes(group % perBlock)) add(descriptors, descriptors + 1);
  const tableBlocks = Math.ceil((superblock.inodesPerGroup * superblock.inodeBytes) / blockBytes);
  add(descriptor.blockBitmap, descriptor.blockBitmap + 1);
  add(descriptor.inodeBitmap, descriptor.inodeBitmap + 1);
  add(descriptor.inodeTable, descriptor.inodeTable + tableBlocks);
}

async function addBitmap(source: Ext4Source, { group, descriptor, add }: Group): Promise<void> {
  const { superblock } = source;
  const { blocksPerGroup, clusterBlocks, blockCount } = superblock;
  const bitmap = await source.block(descriptor.blockBitmap);
  checkBitmap(source, {
    bitmap,
    bits: blocksPerGroup / clusterBlocks,
    wanted: descriptor.blockBitmapChecksum,
    checksumBits: descriptor.bitmapChecksumBits,
    what: `block bitmap of group ${group}`,
  });
  const start = groupStart(superblock, group);
  const clusters = Math.ceil(Math.min(blocksPerGroup, blockCount - start) / clusterBlocks);
  let usedClusters = 0;
  for (let cluster = 0; cluster < clusters; ) {
    const end = runEnd(bitmap, cluster, clusters);
    if (isSet(bitmap, cluster)) {
      usedClusters += end - cluster;
      add(start + cluster * clusterBlocks, start + end * clusterBlocks);
    }
    cluster = end;
  }
  // The only way to see a wrong bitmap of an ext2 or ext3, which have no checksums.
  if (usedClusters + descriptor.freeClusters !== clusters) {
    throw damaged(`the block bitmap of group ${group} contradicts its count of free blocks`);
  }
}

async function checkInodeBitmap(source: Ext4Source, group: number, descriptor: GroupDescriptor): Promise<void> {
  if (source.superblock.checksumSeed === undefined || descriptor.isInodeBitmapUnset) return;
  checkBitmap(source, {
    bitmap: await source.block(descriptor.inodeBitmap),
    bits: source.superblock.inodesPerGroup,
    wanted: descriptor.inodeBitmapChecksum,
    checksumBits: descriptor.bitmapChecksumBits,
    what: `inode bitmap of group ${group}`,
  });
}

function checkBitmap(
  { superblock: { checksumSeed } }: Ext4Source,
  check: { bitmap: Buffer; bits: number; wanted: number; checksumBits: 16 | 32; what: string },
): void {
  if (checksumSeed === undefined) return;
  const found = crc32c(checksumSeed, check.bitmap, 0, check.bits / 8);
  if ((check.checksumBits === 32 ? found : found & 0xffff) !== check.wanted) {
    throw damaged(`the checksum of the ${check.what} is wrong`);
  }
}

function isSet(bitmap: Buffer, bit: number): boolean {
  return (((bitmap[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) === 1;
}

/** Where bits that equal the one at `bit` end. */
function runEnd(bitmap: Buffer, bit: number, bits: number): number {
  const set = isSet(bitmap, bit);
  const whole = set ? 0xff : 0;
  let end = bit + 1;
  while (end < bits && isSet(bitmap, end) === set) {
    end += 1;
    while ((end & 7) === 0 && end + 8 <= bits && bitmap[end >>> 3] === whole) end += 8;
  }
  return end;
}
