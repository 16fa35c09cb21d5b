// What an archive takes in a file system and what the file system has, near enough to refuse before writing what cannot fit.
import type { TarMember } from '../tar/read-tar.ts';
import type { ExtParameters } from './file-system-command.ts';

export interface Room {
  readonly blocks: number;
  readonly inodes: number;
}

/** Layout of ext4: kernel documentation, filesystems/ext4; fs/ext4/ext4.h. */
const direntBytes = 8;
const fastSymlinkBytes = 59;
const inodeCoreBytes = 128 + 32;
/** Inodes 1 to 10 are reserved; lost+found is the eleventh. */
const ownInodes = 11;

/** Adds up, member by member, what an archive needs. */
export function roomCounter({ blockBytes, inodeBytes }: ExtParameters) {
  let blocks = 0;
  let inodes = 0;
  const directories = new Map<string, number>([['', direntBytes * 4]]);
  const blocksOf = (bytes: number): number => Math.ceil(bytes / blockBytes);
  return {
    /** `path` as admitted by the rules. */
    add: (path: string, member: TarMember): void => {
      const slash = path.lastIndexOf('/');
      const parent = slash < 0 ? '' : path.slice(0, slash);
      const entryBytes = direntBytes + Math.ceil((path.length - slash - 1) / 4) * 4;
      if (path !== '') directories.set(parent, (directories.get(parent) ?? 0) + entryBytes);
      if (member.kind === 'directory' && !directories.has(path)) directories.set(path, direntBytes * 3);
      if (path !== '' && member.kind !== 'hard-link') inodes += 1;
      for (const { startByte, endByte } of member.ranges)
        blocks += Math.ceil(endByte / blockBytes) - Math.floor(startByte / blockBytes);
      if (member.kind === 'symlink' && member.linkName.length > fastSymlinkBytes) blocks += 1;
      if (member.attributeBytes > inodeBytes - inodeCoreBytes) blocks += 1;
    },
    total: (): Room => {
      let all = blocks;
      for (const bytes of directories.values()) all += blocksOf(bytes);
      return { blocks: all, inodes };
    },
  };
}

/**
 * The most that mke2fs leaves free in a file system of this size; less by a few in a hundred, or by one group's inodes where
 * the last group is too small to be used. Blocks reserved for root count: root unpacks.
 */
export function extRoom(sizeBytes: number, parameters: ExtParameters): Room {
  const { blockBytes, inodeBytes, inodes, features } = parameters;
  const blocks = Math.floor(sizeBytes / blockBytes);
  const groups = Math.ceil(blocks / (blockBytes * 8));
  const tableBlocksPerGroup = Math.ceil((Math.ceil(inodes / groups) * inodeBytes) / blockBytes);
  // In each group mke2fs rounds up to whole blocks of the table and to eights (lib/ext2fs/initialize.c).
  const mostRounding = Math.ceil(blockBytes / inodeBytes) + 7;
  const descriptorBytes = features.includes('64bit') ? 64 : 32;
  const descriptorBlocks = Math.ceil((groups * descriptorBytes) / blockBytes);
  const reserved = features.includes('resize_inode')
    ? reservedDescriptorBlocks(blocks, blockBytes) - descriptorBlocks
    : 0;
  // A lower bound: copies lie in groups 0, 1 and the powers of 3, 5 and 7.
  const copies = features.includes('sparse_super') ? 1 + Math.floor(Math.log2(groups)) : groups;
  const overhead = groups * (2 + tableBlocksPerGroup) + copies * (1 + descriptorBlocks + Math.max(0, reserved));
  const journal = features.includes('has_journal') ? journalBlocks(blocks) : 0;
  return { blocks: Math.max(0, blocks - overhead - journal), inodes: inodes + groups * mostRounding - ownInodes };
}

/** Of what extRoom calls the most, there is at least this; the rest is what a newer mke2fs gives to its journal, and rounding. */
const leastShare = 0.95;

/** Bytes that files can still take at the least, in a file system of this size with what an archive needs in it. */
export function leastFreeBytes(sizeBytes: number, parameters: ExtParameters, need: Room): number {
  const { blocks } = extRoom(sizeBytes, parameters);
  return Math.max(0, Math.floor(blocks * leastShare) - need.blocks) * parameters.blockBytes;
}

/** Room to grow a thousandfold, at most a block of pointers (lib/ext2fs/initialize.c, calc_reserved_gdt_blocks). */
function reservedDescriptorBlocks(blocks: number, blockBytes: number): number {
  const groups = Math.ceil(Math.min(blocks * 1024, 2 ** 32) / (blockBytes * 8));
  return Math.min(Math.ceil((groups * 32) / blockBytes), blockBytes / 4);
}

/** The smallest journal that any mke2fs makes at this size (lib/ext2fs/mkjournal.c, ext2fs_default_journal_size). */
function journalBlocks(blocks: number): number {
  if (blocks < 2048) return 0;
  if (blocks < 32768) return 1024;
  if (blocks < 256 * 1024) return 4096;
  return blocks < 512 * 1024 ? 8192 : 16384;
}
