// What of a file system may be overwritten so that its structure and some of its files stay whole: its free blocks, and the contents of
// all other files. Whatever is not proven to be one of the two is left alone.
import type { ByteRange } from '@migrate/core';
import { readBlockRuns } from './block-runs.ts';
import { damaged, notReadable } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';
import { type Inode, inodeFlags, readInode } from './inode.ts';
import { isInline, isShortTarget } from './inode-contents.ts';
import { readUsedRanges } from './used-ranges.ts';

/** Features with which a block in use is metadata or belongs to one inode, and bitmaps are what they seem. */
const understood = new Set([
  ...['dir_prealloc', 'imagic_inodes', 'has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'sparse_super2'],
  ...['fast_commit', 'stable_inodes', 'orphan_file', 'filetype', 'meta_bg', 'extent', '64bit', 'mmp', 'flex_bg'],
  ...['ea_inode', 'metadata_csum_seed', 'large_dir', 'inline_data', 'sparse_super', 'large_file', 'huge_file'],
  ...['uninit_bg', 'dir_nlink', 'extra_isize', 'quota', 'metadata_csum', 'project', 'verity'],
]);

/** So many blocks are looked at: 64 GiB of 4 KiB, 16 MiB of memory. */
const maximumBlocks = 2 ** 24;

/** What is known of a block. */
const use = {
  /** In use, by metadata or by what nobody has claimed. */
  unknown: 0,
  free: 1,
  /** Contents of a file that is not kept. */
  replaceable: 2,
  /** Contents of an inode that is kept, or metadata of one. */
  kept: 3,
} as const;

export interface ReplaceableRequest extends ByteRange {
  /** Shorter ranges are left out: they may be very many. */
  readonly leastBytes: number;
  /** Inodes whose contents are kept. Those of all that is no file are kept anyway. */
  readonly keeps: ReadonlySet<number>;
}

/**
 * Ranges between two bytes of the file system, ascending and apart, as far as they can be looked at at once. Throws `invalid-input` where
 * it is damaged or its journal was not played back, `unsupported` for features that might give a block another owner.
 */
export async function readReplaceableRanges(
  source: Ext4Source,
  { startByte, endByte, leastBytes, keeps }: ReplaceableRequest,
): Promise<readonly ByteRange[]> {
  const { superblock } = source;
  const unknown = superblock.features.find((feature) => !understood.has(feature));
  if (unknown !== undefined) throw notReadable(`with the feature ${unknown} blocks may have owners that are not known`);
  const { blockBytes, blockCount } = superblock;
  const first = Math.ceil(startByte / blockBytes);
  const end = Math.min(first + maximumBlocks, blockCount, Math.floor(endByte / blockBytes));
  if (end <= first) return [];
  const blocks = new Uint8Array(end - first).fill(use.free);
  const within = { startByte: first * blockBytes, endByte: end * blockBytes };
  for (const range of await readUsedRanges(source, within))
    blocks.fill(use.unknown, range.startByte / blockBytes - first, range.endByte / blockBytes - first);
  const claim = (inode: number, from: number, count: number, as: number): void => {
    for (let block = Math.max(from, first); block < Math.min(from + count, end); block += 1) {
      const known = blocks[block - first];
      if (known === use.free) throw damaged(`inode ${inode} uses block ${block}, which the bitmap calls free`);
      if (known !== use.unknown) throw damaged(`inode ${inode} shares block ${block} with another`);
      blocks[block - first] = as;
    }
  };
  for await (const inode of inodesInUse(source)) {
    // Nodes of its map are read on the way, and are no more to be lost than the map itself.
    const watched: Ext4Source = {
      ...source,
      block: (block) => {
        claim(inode.number, block, 1, use.kept);
        return source.block(block);
      },
    };
    if (inode.attributeBlock !== 0) checkAttributes(inode, blocks[inode.attributeBlock - first]);
    if (!hasBlocks(inode)) continue;
    const isReplaceable = isPlainFile(source, inode) && !keeps.has(inode.number);
    for (const { diskBlock, blocks: count } of await readBlockRuns(watched, inode, { withUnwritten: true }))
      claim(inode.number, diskBlock, count, isReplaceable ? use.replaceable : use.kept);
  }
  return rangesOf(blocks, Math.ceil(leastBytes / blockBytes)).map((range) => ({
    startByte: (first + range.start) * blockBytes,
    endByte: (first + range.end) * blockBytes,
  }));
}

/** Several inodes may have the same ones. */
function checkAttributes({ number }: Inode, known: number | undefined): void {
  if (known !== undefined && known !== use.unknown)
    throw damaged(`the attributes of inode ${number} lie in a block of others`);
}

/** Of files, directories and whatever else has a name; reserved inodes have blocks that nobody claims. */
async function* inodesInUse(source: Ext4Source): AsyncGenerator<Inode> {
  const { groupCount, inodesPerGroup, firstFreeInode } = source.superblock;
  for (let group = 0; group < groupCount; group += 1) {
    const { inodeBitmap, isInodeBitmapUnset } = await source.group(group);
    if (isInodeBitmapUnset) continue;
    // Kept while other pages come and go.
    const bitmap = Buffer.from(await source.block(inodeBitmap));
    for (let index = 0; index < inodesPerGroup; index += 1) {
      if ((((bitmap[index >>> 3] ?? 0) >>> (index & 7)) & 1) === 0) continue;
      const number = group * inodesPerGroup + index + 1;
      if (number >= firstFreeInode) yield await readInode(source, number);
    }
  }
}

function hasBlocks(inode: Inode): boolean {
  if (isInline(inode)) return false;
  return inode.kind === 'file' || inode.kind === 'directory' || (inode.kind === 'symlink' && !isShortTarget(inode));
}

function isPlainFile({ superblock }: Ext4Source, { number, kind, flags }: Inode): boolean {
  return kind === 'file' && (flags & inodeFlags.attributeValue) === 0 && !superblock.systemInodes.includes(number);
}

function rangesOf(blocks: Uint8Array, least: number): readonly { readonly start: number; readonly end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  const isOpen = (block: number): boolean => blocks[block] === use.free || blocks[block] === use.replaceable;
  for (let start = 0; start < blocks.length; ) {
    let end = start;
    while (end < blocks.length && isOpen(end)) end += 1;
    if (end > start && end - start >= least) ranges.push({ start, end });
    start = end + 1;
  }
  return ranges;
}
