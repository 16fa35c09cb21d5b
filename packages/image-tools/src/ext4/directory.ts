// Directories: Documentation/filesystems/ext4/directory.rst of Linux. Those with a tree of hashes are read as a list too: inner
// blocks of the tree look like blocks with one unused entry. The checks are those of __ext4_check_dir_entry in fs/ext4/dir.c.
import { readBlockRuns } from './block-runs.ts';
import { crc32c, crc32cOfNumber } from './checksums.ts';
import { notReadable } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';
import { inlineDataRest } from './extended-attributes.ts';
import { damagedInode, type Inode, inodeFlags } from './inode.ts';

/** A name and the inode that it leads to. */
export interface NamedInode {
  readonly name: Uint8Array;
  readonly inode: number;
}

/** Directories do not shrink; 64 MiB is far above any that is used. */
const maximumBytes = 64 * 1024 * 1024;
const maximumNames = 2 ** 20;
const headBytes = 8;
const tailBytes = 12;
const inlineBytes = 60;
const slash = 0x2f;
const dot = 0x2e;

/** All names in the order they lie in, without "." and "..". */
export async function readDirectory(source: Ext4Source, directory: Inode): Promise<readonly NamedInode[]> {
  const names: NamedInode[] = [];
  const known = new Set<string>();
  const add = (name: Buffer, inode: number): void => {
    // A tree in which one name stands for two things has no faithful copy, and misleads who restores it.
    const key = name.toString('latin1');
    if (known.has(key)) throw damagedInode(directory.number, `it has the name ${JSON.stringify(key)} twice`);
    known.add(key);
    if (names.length === maximumNames) throw notReadable(`directory ${directory.number} has too many names`);
    names.push({ name: new Uint8Array(name), inode });
  };
  if ((directory.flags & inodeFlags.inlineData) !== 0) {
    // The number of the parent stands for "." and "..".
    parseNames(directory, directory.bytes.subarray(0x28 + 4, 0x28 + inlineBytes), add);
    parseNames(directory, inlineDataRest(directory), add);
    return names;
  }
  const { blockBytes } = source.superblock;
  if (directory.sizeBytes > maximumBytes) throw notReadable(`directory ${directory.number} is larger than 64 MiB`);
  const wanted = Math.ceil(directory.sizeBytes / blockBytes);
  let fileBlock = 0;
  for (const run of await readBlockRuns(source, directory)) {
    if (run.fileBlock !== fileBlock) break;
    for (; fileBlock < Math.min(wanted, run.fileBlock + run.blocks); fileBlock += 1) {
      const bytes = await source.block(run.diskBlock + fileBlock - run.fileBlock);
      if (directory.checksumSeed !== undefined) checkBlock(directory, directory.checksumSeed, bytes);
      parseNames(directory, bytes, add);
    }
  }
  if (fileBlock < wanted) throw damagedInode(directory.number, `the directory has a hole at its block ${fileBlock}`);
  return names;
}

function parseNames(directory: Inode, bytes: Buffer, add: (name: Buffer, inode: number) => void): void {
  for (let offset = 0; offset < bytes.length; ) {
    if (offset + headBytes > bytes.length) throw damagedInode(directory.number, 'a name is cut off');
    const inode = bytes.readUInt32LE(offset);
    const length = recordLength(bytes, offset);
    const nameLength = bytes.readUInt8(offset + 6);
    if (
      length < headBytes + 4 ||
      length % 4 !== 0 ||
      length < headBytes + nameLength ||
      offset + length > bytes.length
    ) {
      throw damagedInode(directory.number, `a name at ${offset} has a wrong length`);
    }
    if (inode !== 0) {
      const name = bytes.subarray(offset + headBytes, offset + headBytes + nameLength);
      if (nameLength === 0 || name.includes(slash) || name.includes(0)) {
        throw damagedInode(directory.number, `it has the impossible name ${JSON.stringify(name.toString('latin1'))}`);
      }
      if (!isDots(name)) add(name, inode);
    }
    offset += length;
  }
}

/** Blocks of 64 KiB need a length that 16 bits do not hold (ext4_rec_len_from_disk). */
function recordLength(bytes: Buffer, offset: number): number {
  const length = bytes.readUInt16LE(offset + 4);
  if (bytes.length < 65536) return length;
  return length === 65535 || length === 0 ? 65536 : (length & 0xfffc) | ((length & 3) << 16);
}

function isDots(name: Uint8Array): boolean {
  return name[0] === dot && (name.length === 1 || (name.length === 2 && name[1] === dot));
}

/**
 * Leaves keep their checksum in what looks like a last, unused entry; blocks of the tree behind their table, where a leaf that
 * became the root of a tree still has the mark of a leaf.
 */
function checkBlock(directory: Inode, seed: number, bytes: Buffer): void {
  const tail = bytes.length - tailBytes;
  const hasLeafMark = bytes.readUInt32LE(tail) === 0 && bytes.readUInt32LE(tail + 4) === 0xde00000c;
  const isRight =
    (hasLeafMark && crc32c(seed, bytes, 0, tail) === bytes.readUInt32LE(tail + 8)) ||
    ((directory.flags & inodeFlags.indexed) !== 0 && isTreeBlockRight(seed, bytes));
  if (!isRight) throw damagedInode(directory.number, 'the checksum of a block of the directory is wrong');
}

/** ext4_dx_csum in fs/ext4/namei.c. */
function isTreeBlockRight(seed: number, bytes: Buffer): boolean {
  const isRoot = recordLength(bytes, 0) === 12;
  // The root has "." and "..", then 8 bytes about the tree; others one unused entry.
  const table = isRoot ? 32 : 8;
  const limit = bytes.readUInt16LE(table);
  const count = bytes.readUInt16LE(table + 2);
  const tail = table + limit * 8;
  if (count > limit || tail + 8 > bytes.length) return false;
  const head = crc32c(crc32c(seed, bytes, 0, table + count * 8), bytes, tail, tail + 4);
  return crc32cOfNumber(head, 0) === bytes.readUInt32LE(tail + 4);
}
