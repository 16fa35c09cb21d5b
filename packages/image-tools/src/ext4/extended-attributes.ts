// Extended attributes: Documentation/filesystems/ext4/attributes.rst of Linux; the checks are those of fs/ext4/xattr.c.
import type { ExtendedAttribute } from '@migrate/core';
import { readBlockRuns } from './block-runs.ts';
import { crc32c, crc32cWithout } from './checksums.ts';
import { notReadable } from './ext4-error.ts';
import type { Ext4Source } from './ext4-source.ts';
import { runsReader } from './file-contents.ts';
import { damagedInode, type Inode, inodeFlags, readInode } from './inode.ts';
import { aclForUserSpace } from './posix-acl.ts';

const magic = 0xea020000;
const blockHeaderBytes = 32;
const entryBytes = 16;
/** XATTR_SIZE_MAX in include/uapi/linux/limits.h. */
const maximumValueBytes = 65536;
/** Of all values together; ea_inode allows far more than anybody keeps. */
const maximumTotalBytes = 16 * 1024 * 1024;
/** The kind "system." under which ext4 keeps small contents in the inode. */
const systemKind = 7;
const inlineDataName = 'data';

/** Namespaces by their number; those of access control lists are whole names. */
const prefixes: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  5: 'lustre.',
  6: 'security.',
  7: 'system.',
  8: 'system.richacl',
  10: 'gnu.',
};

interface StoredAttribute {
  readonly kind: number;
  readonly name: string;
  readonly sizeBytes: number;
  /** Inode with the value (ea_inode); 0: it is `value`. */
  readonly valueInode: number;
  readonly value: Buffer;
}

/** All attributes as the kernel shows them to root, sorted by name. */
export async function readAttributes(source: Ext4Source, inode: Inode): Promise<readonly ExtendedAttribute[]> {
  const stored = [...attributesInInode(inode), ...(await attributesInBlock(source, inode))];
  // The kernel finds the one in the inode first.
  const found = new Map<string, ExtendedAttribute>();
  let totalBytes = 0;
  for (const attribute of stored) {
    if (attribute.kind === systemKind && attribute.name === inlineDataName) continue;
    const prefix = prefixes[attribute.kind];
    if (prefix === undefined) throw damagedInode(inode.number, `it has an attribute of unknown kind ${attribute.kind}`);
    const name = prefix + attribute.name;
    if (found.has(name)) continue;
    totalBytes += attribute.sizeBytes;
    if (totalBytes > maximumTotalBytes) throw notReadable(`inode ${inode.number} has too large attributes`);
    const value = attribute.valueInode === 0 ? attribute.value : await readValue(source, inode, attribute);
    const isAcl = attribute.kind === 2 || attribute.kind === 3;
    found.set(name, { name, value: isAcl ? aclForUserSpace(inode.number, value) : new Uint8Array(value) });
  }
  return [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** What of small contents does not fit where the numbers of blocks would be. */
export function inlineDataRest(inode: Inode): Buffer {
  const rest = attributesInInode(inode).find(({ kind, name }) => kind === systemKind && name === inlineDataName);
  return rest?.value ?? Buffer.alloc(0);
}

function attributesInInode(inode: Inode): readonly StoredAttribute[] {
  const start = 128 + inode.extraBytes;
  if (inode.extraBytes === 0 || start + 4 > inode.bytes.length || inode.bytes.readUInt32LE(start) !== magic) return [];
  const bytes = inode.bytes.subarray(start + 4);
  return parseEntries(inode, { bytes, first: 0 });
}

async function attributesInBlock(source: Ext4Source, inode: Inode): Promise<readonly StoredAttribute[]> {
  if (inode.attributeBlock === 0) return [];
  const bytes = await source.block(inode.attributeBlock);
  if (bytes.readUInt32LE(0) !== magic || bytes.readUInt32LE(8) !== 1) {
    throw damagedInode(inode.number, `block ${inode.attributeBlock} holds no attributes`);
  }
  const { checksumSeed } = source.superblock;
  if (checksumSeed !== undefined) {
    const place = Buffer.alloc(8);
    place.writeBigUInt64LE(BigInt(inode.attributeBlock));
    const found = crc32cWithout(crc32c(checksumSeed, place), bytes, { offset: 0x10, length: 4 });
    if (found !== bytes.readUInt32LE(0x10)) {
      throw damagedInode(inode.number, `the checksum of its attributes in block ${inode.attributeBlock} is wrong`);
    }
  }
  return parseEntries(inode, { bytes, first: blockHeaderBytes });
}

/** Entries end with four zero bytes, or where `bytes` does; places of values count from the start of `bytes`. */
function parseEntries(
  inode: Inode,
  { bytes, first }: { readonly bytes: Buffer; readonly first: number },
): readonly StoredAttribute[] {
  const entries: StoredAttribute[] = [];
  for (let offset = first; offset + 4 <= bytes.length && bytes.readUInt32LE(offset) !== 0; ) {
    const nameEnd = offset + entryBytes + bytes.readUInt8(offset);
    if (nameEnd > bytes.length) throw damagedInode(inode.number, 'its attributes are cut off');
    const valueOffset = bytes.readUInt16LE(offset + 2);
    const valueInode = bytes.readUInt32LE(offset + 4);
    const sizeBytes = bytes.readUInt32LE(offset + 8);
    const isOutside = valueInode !== 0;
    if (sizeBytes > maximumValueBytes || (!isOutside && valueOffset + sizeBytes > bytes.length)) {
      throw damagedInode(inode.number, `it has an attribute of ${sizeBytes} bytes at ${valueOffset}`);
    }
    entries.push({
      kind: bytes.readUInt8(offset + 1),
      name: nameOf(inode, bytes.subarray(offset + entryBytes, nameEnd)),
      sizeBytes,
      valueInode,
      value: isOutside ? bytes.subarray(0, 0) : bytes.subarray(valueOffset, valueOffset + sizeBytes),
    });
    offset = (nameEnd + 3) & ~3;
  }
  return entries;
}

function nameOf(inode: Inode, bytes: Buffer): string {
  const name = bytes.toString('utf8');
  if (!Buffer.from(name).equals(bytes)) {
    throw notReadable(`inode ${inode.number} has an attribute whose name is not UTF-8; remove it`);
  }
  return name;
}

async function readValue(source: Ext4Source, inode: Inode, attribute: StoredAttribute): Promise<Buffer> {
  const holder = await readInode(source, attribute.valueInode);
  const isHolder = holder.kind === 'file' && (holder.flags & inodeFlags.attributeValue) !== 0;
  if (!isHolder || holder.sizeBytes !== attribute.sizeBytes) {
    throw damagedInode(inode.number, `inode ${holder.number} does not hold the value of its attribute`);
  }
  const value = Buffer.alloc(attribute.sizeBytes);
  await runsReader(source, value.length, await readBlockRuns(source, holder)).read(value, 0);
  return value;
}
