import { damagedInode } from './inode.ts';

const diskVersion = 1;
const userVersion = 2;
const namedUser = 0x02;
const namedGroup = 0x08;
const noId = 0xffffffff;

/**
 * An access control list as user space sees it (include/uapi/linux/posix_acl_xattr.h), made from what ext4 stores
 * (fs/ext4/acl.h): there entries without an id are shorter.
 */
export function aclForUserSpace(inode: number, stored: Buffer): Uint8Array {
  if (stored.length < 4 || stored.readUInt32LE(0) !== diskVersion) {
    throw damagedInode(inode, 'its access control list is of an unknown version');
  }
  const entries: Buffer[] = [Buffer.from([userVersion, 0, 0, 0])];
  for (let offset = 4; offset < stored.length; ) {
    const hasId = stored.length - offset >= 4 && [namedUser, namedGroup].includes(stored.readUInt16LE(offset));
    const length = hasId ? 8 : 4;
    if (offset + length > stored.length) throw damagedInode(inode, 'its access control list is cut off');
    const entry = Buffer.alloc(8);
    stored.copy(entry, 0, offset, offset + length);
    if (!hasId) entry.writeUInt32LE(noId, 4);
    entries.push(entry);
    offset += length;
  }
  return Buffer.concat(entries);
}
