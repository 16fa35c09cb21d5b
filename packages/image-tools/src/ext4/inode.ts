// Inodes: Documentation/filesystems/ext4/inodes.rst of Linux; the checks are those of ext4_iget in fs/ext4/inode.c.
import type { DeviceNumber, TreeEntryKind } from '@migrate/core';
import { crc32c, crc32cOfNumber, crc32cWithout } from './checksums.ts';
import { damaged } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';
import type { Superblock } from './superblock.ts';

export interface Inode {
  readonly number: number;
  readonly kind: TreeEntryKind;
  /** Permission bits only (0o7777). */
  readonly mode: number;
  readonly flags: number;
  /** As it is stored: contents of a file, blocks of a directory, target of a symlink. */
  readonly sizeBytes: number;
  readonly links: number;
  /** Block with extended attributes; 0: none. */
  readonly attributeBlock: number;
  /** Bytes in use behind the first 128. */
  readonly extraBytes: number;
  /** What the checksums of its blocks start from, where metadata have checksums. */
  readonly checksumSeed: number | undefined;
  /** All of it. It belongs to a page of metadata. */
  readonly bytes: Buffer;
}

export const inodeFlags = {
  indexed: 0x1000,
  extents: 0x80000,
  attributeValue: 0x200000,
  inlineData: 0x10000000,
} as const;

export const rootInode = 2;

const kinds: Readonly<Record<number, TreeEntryKind>> = {
  1: 'fifo',
  2: 'character-device',
  4: 'directory',
  6: 'block-device',
  8: 'file',
  10: 'symlink',
  12: 'socket',
};

/** Reads an inode that something leads to. Throws `invalid-input` where it is not in use or makes no sense. */
export async function readInode(source: Ext4Source, number: number): Promise<Inode> {
  const { superblock, pages } = source;
  if (number > superblock.inodeCount || (number < superblock.firstFreeInode && number !== rootInode)) {
    throw damaged(`a name leads to inode ${number}`);
  }
  const group = Math.floor((number - 1) / superblock.inodesPerGroup);
  const index = (number - 1) % superblock.inodesPerGroup;
  const { inodeTable } = await source.group(group);
  const position = inodeTable * superblock.blockBytes + index * superblock.inodeBytes;
  return parseInode(superblock, number, await pages.read(position, superblock.inodeBytes));
}

function parseInode(superblock: Superblock, number: number, bytes: Buffer): Inode {
  const extraBytes = superblock.inodeBytes > 128 ? bytes.readUInt16LE(0x80) : 0;
  if (128 + extraBytes > superblock.inodeBytes || extraBytes % 4 !== 0) throw damagedInode(number, 'its size is wrong');
  const checksumSeed = checkInode(superblock, { number, bytes, extraBytes });
  const mode = bytes.readUInt16LE(0x0);
  const kind = kinds[mode >>> 12];
  const links = bytes.readUInt16LE(0x1a);
  if (kind === undefined) throw damagedInode(number, `its mode is ${mode.toString(8)}`);
  if (links === 0) throw damagedInode(number, 'it has been deleted, but a name leads to it');
  const hasWideSize = kind === 'file' || superblock.features.includes('large_dir');
  const sizeBytes = bytes.readUInt32LE(0x4) + (hasWideSize ? bytes.readUInt32LE(0x6c) * 2 ** 32 : 0);
  // Blocks of a file have numbers of 32 bits.
  if (sizeBytes > superblock.blockBytes * 2 ** 32) throw damagedInode(number, `it is ${sizeBytes} bytes large`);
  const is64Bit = superblock.features.includes('64bit');
  return {
    number,
    kind,
    mode: mode & 0o7777,
    flags: bytes.readUInt32LE(0x20),
    sizeBytes,
    links,
    attributeBlock: bytes.readUInt32LE(0x68) + (is64Bit ? bytes.readUInt16LE(0x76) * 2 ** 32 : 0),
    extraBytes,
    checksumSeed,
    bytes,
  };
}

/** Throws for a wrong checksum; gives the seed for blocks of the inode, or undefined where there are no checksums. */
function checkInode(
  { checksumSeed }: Superblock,
  { number, bytes, extraBytes }: Pick<Inode, 'number' | 'bytes' | 'extraBytes'>,
): number | undefined {
  if (checksumSeed === undefined) return undefined;
  const seed = crc32cOfNumber(crc32cOfNumber(checksumSeed, number), bytes.readUInt32LE(0x64));
  const isWide = extraBytes >= 4;
  const head = crc32cWithout(seed, bytes, { offset: 0x7c, length: 2 }, 0x80);
  const rest = bytes.subarray(0x80);
  const found = isWide ? crc32cWithout(head, rest, { offset: 2, length: 2 }) : crc32c(head, rest);
  const wanted = bytes.readUInt16LE(0x7c) + (isWide ? bytes.readUInt16LE(0x82) * 0x10000 : 0);
  if ((isWide ? found : found & 0xffff) !== wanted) throw damagedInode(number, 'its checksum is wrong');
  return seed;
}

export function damagedInode(number: number, why: string): Error {
  return damaged(`inode ${number}: ${why}`);
}

/** Owners have 16 bits in the old part of an inode and 16 in the new. */
export function ownerOf({ bytes }: Inode): { readonly uid: number; readonly gid: number } {
  return {
    uid: bytes.readUInt16LE(0x2) + bytes.readUInt16LE(0x78) * 0x10000,
    gid: bytes.readUInt16LE(0x18) + bytes.readUInt16LE(0x7a) * 0x10000,
  };
}

/** Seconds since 1970 with sign, two bits above these (1901 to 2446) and nanoseconds, the latter two where there is room. */
export function modifiedNsOf({ bytes, extraBytes }: Inode): bigint {
  const seconds = bytes.readInt32LE(0x10);
  if (extraBytes < 0x88 + 4 - 128) return BigInt(seconds) * 1_000_000_000n;
  const extra = bytes.readUInt32LE(0x88);
  return BigInt(seconds + (extra & 3) * 2 ** 32) * 1_000_000_000n + BigInt(extra >>> 2);
}

/** old_decode_dev and new_decode_dev in include/linux/kdev_t.h. */
export function deviceNumberOf({ bytes }: Inode): DeviceNumber {
  const old = bytes.readUInt32LE(0x28);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const value = bytes.readUInt32LE(0x2c);
  return { major: (value >>> 8) & 0xfff, minor: (value & 0xff) | ((value >>> 12) & 0xfff00) };
}
