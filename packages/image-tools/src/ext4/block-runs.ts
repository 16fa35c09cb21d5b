import type { AddBlocks, BlockRun } from './block-run.ts';
import { notReadable } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';
import { walkExtentTree } from './extent-tree.ts';
import { walkIndirectBlocks } from './indirect-blocks.ts';
import { damagedInode, type Inode, inodeFlags } from './inode.ts';

/** As many as a file of 4 GiB has whose blocks all lie apart; about 64 MiB of memory. */
const maximumRuns = 2 ** 20;

/**
 * Where the contents of an inode lie, ascending, neighbours joined. Blocks that were allocated but never written read as zeros, and
 * are told of only where `withUnwritten` asks for them.
 */
export async function readBlockRuns(
  source: Ext4Source,
  inode: Inode,
  { withUnwritten = false } = {},
): Promise<readonly BlockRun[]> {
  const { superblock } = source;
  const runs: BlockRun[] = [];
  let nextFileBlock = 0;
  let mapped = 0;
  const add: AddBlocks = ({ fileBlock, diskBlock, blocks }, isWritten) => {
    if (fileBlock < nextFileBlock) throw damagedInode(inode.number, 'its blocks are out of order');
    if (diskBlock <= superblock.firstBlock || diskBlock + blocks > superblock.blockCount) {
      throw damagedInode(inode.number, `it leads to block ${diskBlock}`);
    }
    nextFileBlock = fileBlock + blocks;
    mapped += blocks;
    if (mapped > superblock.blockCount) throw damagedInode(inode.number, 'it has more blocks than there are');
    const last = runs.at(-1);
    if (!isWritten && !withUnwritten) return;
    if (last?.fileBlock === fileBlock - (last?.blocks ?? 0) && last.diskBlock + last.blocks === diskBlock) {
      runs[runs.length - 1] = { ...last, blocks: last.blocks + blocks };
    } else if (runs.length === maximumRuns) {
      throw notReadable(`inode ${inode.number} lies in more than ${maximumRuns} pieces; copy that file anew`);
    } else runs.push({ fileBlock, diskBlock, blocks });
  };
  const walk = (inode.flags & inodeFlags.extents) === 0 ? walkIndirectBlocks : walkExtentTree;
  await walk(source, inode, add);
  source.countMapped(inode.number, mapped);
  return runs;
}
