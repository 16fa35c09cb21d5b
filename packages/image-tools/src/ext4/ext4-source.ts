import type { ByteReader } from '@migrate/core';
import { damaged } from './ext4-error.ts';
import { type GroupDescriptor, groupDescriptors } from './group-descriptors.ts';
import { type MetadataPages, metadataPages } from './metadata-pages.ts';
import { numberSet } from './number-set.ts';
import { readAhead } from './read-ahead.ts';
import { readSuperblock, type Superblock } from './superblock.ts';

/** An opened file system, as all parts of this reader know it. */
export interface Ext4Source {
  /** For contents of files. */
  readonly reader: ByteReader;
  readonly superblock: Superblock;
  readonly pages: MetadataPages;
  group(number: number): Promise<GroupDescriptor>;
  /** A block of metadata; throws `invalid-input` where there is no such block. */
  block(number: number): Promise<Buffer>;
  /**
   * Takes how many blocks the contents of an inode have. Throws `invalid-input` once inodes have more than there are: they
   * share blocks, and a small image could give an endless archive.
   */
  countMapped(inode: number, blocks: number): void;
}

export async function openSource(reader: ByteReader): Promise<Ext4Source> {
  const superblock = await readSuperblock(reader);
  const pages = metadataPages(reader);
  const { blockBytes, blockCount, firstBlock } = superblock;
  const mayShareBlocks = superblock.features.includes('shared_blocks');
  const counted = numberSet();
  let mapped = 0;
  return {
    reader: readAhead(reader),
    superblock,
    pages,
    group: groupDescriptors(superblock, pages),
    block: async (number) => {
      if (number <= firstBlock || number >= blockCount) throw damaged(`something leads to block ${number}`);
      return pages.read(number * blockBytes, blockBytes);
    },
    countMapped: (inode, blocks) => {
      if (mayShareBlocks || !counted.add(inode)) return;
      mapped += blocks;
      if (mapped > blockCount) throw damaged('files share blocks');
    },
  };
}
