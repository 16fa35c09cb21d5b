// The block map of ext2 and ext3: Documentation/filesystems/ext4/blockmap.rst of Linux.
import type { AddBlocks } from './block-run.ts';
import type { Ext4Source } from './ext4-source.ts';
import { damagedInode, type Inode } from './inode.ts';

const directBlocks = 12;
const levels = 3;

/** Adds the blocks of a file in order. No indirect block may be used twice, so that small maps cannot take endless time. */
export async function walkIndirectBlocks(source: Ext4Source, inode: Inode, add: AddBlocks): Promise<void> {
  const { blockBytes } = source.superblock;
  const perBlock = blockBytes / 4;
  const wanted = Math.ceil(inode.sizeBytes / blockBytes);
  const visited = new Set<number>();
  let fileBlock = 0;

  const addOne = (diskBlock: number): void => {
    if (diskBlock !== 0) add({ fileBlock, diskBlock, blocks: 1 }, true);
    fileBlock += 1;
  };

  /** `level` 1: the block holds numbers of data blocks; above: of blocks of the level below. */
  const walk = async (block: number, level: number): Promise<void> => {
    if (block === 0) {
      fileBlock += perBlock ** level;
      return;
    }
    if (visited.has(block)) throw damagedInode(inode.number, `it uses block ${block} twice`);
    visited.add(block);
    const bytes = await source.block(block);
    for (let index = 0; index < perBlock && fileBlock < wanted; index += 1) {
      const next = bytes.readUInt32LE(index * 4);
      if (level === 1) addOne(next);
      else await walk(next, level - 1);
    }
  };

  const numberAt = (index: number): number => inode.bytes.readUInt32LE(0x28 + index * 4);
  for (let index = 0; index < directBlocks && fileBlock < wanted; index += 1) addOne(numberAt(index));
  for (let level = 1; level <= levels && fileBlock < wanted; level += 1)
    await walk(numberAt(directBlocks + level - 1), level);
}
