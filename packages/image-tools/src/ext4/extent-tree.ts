// Extents: Documentation/filesystems/ext4/ifork.rst of Linux; the checks are those of ext4_valid_extent in fs/ext4/extents.c.
import type { AddBlocks } from './block-run.ts';
import { crc32c } from './checksums.ts';
import type { Ext4Source } from './ext4-source.ts';
import { damagedInode, type Inode } from './inode.ts';

const magic = 0xf30a;
const headerBytes = 12;
const entryBytes = 12;
const maximumDepth = 5;
/** Longer extents are allocated but not written: their length is what exceeds this. */
const maximumWrittenBlocks = 32768;

interface Node {
  readonly bytes: Buffer;
  readonly entries: number;
  readonly depth: number;
}

/** Adds the extents of a file in order. Depths fall and first blocks rise, so that no tree can lead in circles. */
export async function walkExtentTree(source: Ext4Source, inode: Inode, add: AddBlocks): Promise<void> {
  const damaged = (why: string): Error => damagedInode(inode.number, `its extents: ${why}`);

  const parse = (bytes: Buffer, depth: number | undefined): Node => {
    const entries = bytes.readUInt16LE(2);
    const maximum = bytes.readUInt16LE(4);
    const found = bytes.readUInt16LE(6);
    if (bytes.readUInt16LE(0) !== magic) throw damaged('a node has no magic number');
    if (entries > maximum || headerBytes + maximum * entryBytes > bytes.length) throw damaged('a node is too full');
    if (found > maximumDepth || (depth !== undefined && found !== depth)) throw damaged('a node is at a wrong depth');
    // Only the root may be empty, and only as a leaf. Empty nodes would let a small tree take endless time.
    if (entries === 0 && (depth !== undefined || found > 0)) throw damaged('a node is empty');
    return { bytes, entries, depth: found };
  };

  const readNode = async (block: number, depth: number): Promise<Node> => {
    const bytes = await source.block(block);
    const node = parse(bytes, depth);
    const end = headerBytes + bytes.readUInt16LE(4) * entryBytes;
    if (inode.checksumSeed !== undefined && end + 4 <= bytes.length) {
      if (crc32c(inode.checksumSeed, bytes, 0, end) !== bytes.readUInt32LE(end)) {
        throw damaged(`the checksum of block ${block} is wrong`);
      }
    }
    return node;
  };

  const walk = async ({ bytes, entries, depth }: Node, firstFileBlock: number): Promise<void> => {
    let previous = firstFileBlock - 1;
    for (let index = 0; index < entries; index += 1) {
      const offset = headerBytes + index * entryBytes;
      const fileBlock = bytes.readUInt32LE(offset);
      if (fileBlock <= previous) throw damaged('they are out of order');
      previous = fileBlock;
      if (depth === 0) {
        const length = bytes.readUInt16LE(offset + 4);
        const isWritten = length <= maximumWrittenBlocks;
        const blocks = isWritten ? length : length - maximumWrittenBlocks;
        if (blocks === 0) throw damaged('one has no blocks');
        const diskBlock = bytes.readUInt16LE(offset + 6) * 2 ** 32 + bytes.readUInt32LE(offset + 8);
        add({ fileBlock, diskBlock, blocks }, isWritten);
      } else {
        const child = bytes.readUInt32LE(offset + 4) + bytes.readUInt16LE(offset + 8) * 2 ** 32;
        await walk(await readNode(child, depth - 1), fileBlock);
      }
    }
  };

  await walk(parse(inode.bytes.subarray(0x28, 0x64), undefined), 0);
}
