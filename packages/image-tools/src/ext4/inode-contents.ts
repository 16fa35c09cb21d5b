import type { BlockRun } from './block-run.ts';
import { readBlockRuns } from './block-runs.ts';
import type { Ext4Source } from './ext4-source.ts';
import { inlineDataRest } from './extended-attributes.ts';
import { runsReader } from './file-contents.ts';
import { damagedInode, type Inode, inodeFlags } from './inode.ts';

/** Where an inode has numbers of blocks, or in their place a short target or contents. */
const inlineStart = 0x28;
const inlineBytes = 60;

/** The map of blocks of the file asked for last: whoever asks for its ranges reads it next. */
export function runsOfLatest(source: Ext4Source): (inode: Inode) => Promise<readonly BlockRun[]> {
  let latest: { readonly number: number; readonly runs: Promise<readonly BlockRun[]> } | undefined;
  return (inode) => {
    if (latest?.number === inode.number) return latest.runs;
    const asked = { number: inode.number, runs: readBlockRuns(source, inode) };
    latest = asked;
    // What failed may be tried again.
    asked.runs.catch(() => {
      if (latest === asked) latest = undefined;
    });
    return asked.runs;
  };
}

export function isInline({ flags }: Inode): boolean {
  return (flags & inodeFlags.inlineData) !== 0;
}

/** Contents that lie in the inode. */
export function inlineContents(inode: Inode): Uint8Array {
  const start = inode.bytes.subarray(inlineStart, inlineStart + inlineBytes);
  const contents = Buffer.concat([start, inlineDataRest(inode)]);
  if (inode.sizeBytes > contents.length) throw damagedInode(inode.number, 'its contents do not lie in it');
  return contents.subarray(0, inode.sizeBytes);
}

/** Whether the target of a symlink lies in its inode, with or without the feature for small contents. */
export function isShortTarget({ sizeBytes, flags }: Inode): boolean {
  return sizeBytes < inlineBytes && (flags & inodeFlags.extents) === 0;
}

/** Target of a symlink. */
export async function readTarget(source: Ext4Source, inode: Inode): Promise<Uint8Array> {
  const { sizeBytes } = inode;
  // As for the kernel, a target lies in one block with a zero behind it.
  if (sizeBytes === 0 || sizeBytes >= source.superblock.blockBytes) {
    throw damagedInode(inode.number, `it is a symlink of ${sizeBytes} bytes`);
  }
  let target = new Uint8Array(sizeBytes);
  if (isShortTarget(inode) || isInline(inode)) target = new Uint8Array(inlineContents(inode));
  else await runsReader(source, sizeBytes, await readBlockRuns(source, inode)).read(target, 0);
  if (target.includes(0)) throw damagedInode(inode.number, 'its target has a zero in it');
  return target;
}
