// Group descriptors: Documentation/filesystems/ext4/group_descr.rst of Linux; their places: descriptor_loc in fs/ext4/super.c.
import { crc16, crc16OfNumber, crc32cOfNumber, crc32cWithout } from './checksums.ts';
import { damaged } from './ext4-error.ts';
import type { MetadataPages } from './metadata-pages.ts';
import type { Superblock } from './superblock.ts';

export interface GroupDescriptor {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly freeClusters: number;
  /** The bitmap was never written: all but metadata is free. */
  readonly isBlockBitmapUnset: boolean;
  readonly isInodeBitmapUnset: boolean;
  readonly blockBitmapChecksum: number;
  readonly inodeBitmapChecksum: number;
  /** Bits that the two checksums have. */
  readonly bitmapChecksumBits: 16 | 32;
}

const checksumField = { offset: 0x1e, length: 2 };
const inodesUnset = 1;
const blocksUnset = 2;

/** Reads the descriptor of a group and checks it. Descriptors read lately are kept. */
export function groupDescriptors(
  superblock: Superblock,
  pages: MetadataPages,
): (group: number) => Promise<GroupDescriptor> {
  const kept = new Map<number, GroupDescriptor>();
  const { blockBytes, descriptorBytes } = superblock;
  const perBlock = blockBytes / descriptorBytes;
  return async (group) => {
    const known = kept.get(group);
    if (known !== undefined) return known;
    const block = descriptorBlock(superblock, Math.floor(group / perBlock));
    const bytes = await pages.read(block * blockBytes + (group % perBlock) * descriptorBytes, descriptorBytes);
    const descriptor = parseDescriptor(superblock, group, bytes);
    if (kept.size >= 1024) kept.clear();
    kept.set(group, descriptor);
    return descriptor;
  };
}

/** The block with the primary descriptors of a number. */
function descriptorBlock(superblock: Superblock, number: number): number {
  const { blockBytes, descriptorBytes, firstMetaDescriptorBlock } = superblock;
  const isMeta = number >= firstMetaDescriptorBlock;
  const group = isMeta ? number * (blockBytes / descriptorBytes) : 0;
  return firstDescriptorBlock(superblock, group) + (isMeta ? 0 : number);
}

/** Where descriptors or copies of them lie in a group: behind its superblock, if it has one. */
export function firstDescriptorBlock(superblock: Superblock, group: number): number {
  // The first superblock is at byte 1024 even where groups begin at byte 0.
  const start = group === 0 ? Math.floor(1024 / superblock.blockBytes) : groupStart(superblock, group);
  return start + (hasSuperblock(superblock, group) ? 1 : 0);
}

export function groupStart({ firstBlock, blocksPerGroup }: Superblock, group: number): number {
  return firstBlock + group * blocksPerGroup;
}

/** Whether a group begins with the superblock or a copy; ext4_bg_has_super in fs/ext4/balloc.c. */
export function hasSuperblock({ features, backupGroups }: Superblock, group: number): boolean {
  if (group === 0) return true;
  if (features.includes('sparse_super2')) return backupGroups.includes(group);
  if (group === 1 || !features.includes('sparse_super')) return true;
  return [3, 5, 7].some((base) => isPowerOf(base, group));
}

function isPowerOf(base: number, value: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

function parseDescriptor(superblock: Superblock, group: number, bytes: Buffer): GroupDescriptor {
  const hasChecksum = checkDescriptor(superblock, group, bytes);
  const is64Bit = superblock.descriptorBytes >= 64;
  const wide = (low: number, high: number): number =>
    bytes.readUInt32LE(low) + (is64Bit ? bytes.readUInt32LE(high) * 2 ** 32 : 0);
  const half = (low: number, high: number): number =>
    bytes.readUInt16LE(low) + (is64Bit ? bytes.readUInt16LE(high) * 0x10000 : 0);
  // Without checksums the flags mean nothing (ext4_has_group_desc_csum).
  const flags = hasChecksum ? bytes.readUInt16LE(0x12) : 0;
  const tableBlocks = Math.ceil((superblock.inodesPerGroup * superblock.inodeBytes) / superblock.blockBytes);
  const within = (block: number, blocks: number): number => {
    if (block <= superblock.firstBlock || block + blocks > superblock.blockCount) {
      throw damaged(`group ${group} has metadata at block ${block}`);
    }
    return block;
  };
  return {
    blockBitmap: within(wide(0x0, 0x20), 1),
    inodeBitmap: within(wide(0x4, 0x24), 1),
    inodeTable: within(wide(0x8, 0x28), tableBlocks),
    freeClusters: half(0xc, 0x2c),
    isBlockBitmapUnset: (flags & blocksUnset) !== 0,
    isInodeBitmapUnset: (flags & inodesUnset) !== 0,
    blockBitmapChecksum: half(0x18, 0x38),
    inodeBitmapChecksum: half(0x1a, 0x3a),
    bitmapChecksumBits: is64Bit ? 32 : 16,
  };
}

/** Throws for a wrong checksum; false where the file system keeps none. */
function checkDescriptor(superblock: Superblock, group: number, bytes: Buffer): boolean {
  const { checksumSeed, features, uuidBytes } = superblock;
  const wanted = bytes.readUInt16LE(checksumField.offset);
  if (checksumSeed !== undefined) {
    const found = crc32cWithout(crc32cOfNumber(checksumSeed, group), bytes, checksumField) & 0xffff;
    if (found !== wanted) throw damaged(`the checksum of the descriptor of group ${group} is wrong`);
    return true;
  }
  if (!features.includes('uninit_bg')) return false;
  const head = crc16(crc16OfNumber(crc16(0xffff, uuidBytes), group), bytes, 0, checksumField.offset);
  if (crc16(head, bytes, checksumField.offset + 2) !== wanted) {
    throw damaged(`the checksum of the descriptor of group ${group} is wrong`);
  }
  return true;
}
