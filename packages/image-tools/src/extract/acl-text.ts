// POSIX ACLs: from what the kernel gives (include/uapi/linux/posix_acl_xattr.h) to the text that tar archives hold, the short
// form of acl(5) with numeric ids.
import { MigrateError } from '@migrate/core';

const version = 2;
const headerBytes = 4;
const entryBytes = 8;
/** e_tag: the word for it, and whether an id belongs to it. */
const tags = new Map<number, { readonly word: string; readonly hasId: boolean }>([
  [0x01, { word: 'user', hasId: false }],
  [0x02, { word: 'user', hasId: true }],
  [0x04, { word: 'group', hasId: false }],
  [0x08, { word: 'group', hasId: true }],
  [0x10, { word: 'mask', hasId: false }],
  [0x20, { word: 'other', hasId: false }],
]);

/** "user::rw-,user:1000:r--,group::r--,mask::r--,other::---". Throws `invalid-input` for what is no ACL. */
export function aclText(value: Uint8Array): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  if (
    bytes.length < headerBytes ||
    bytes.readUInt32LE(0) !== version ||
    (bytes.length - headerBytes) % entryBytes !== 0
  )
    throw damaged('it is of no known version or length');
  const entries: string[] = [];
  for (let offset = headerBytes; offset < bytes.length; offset += entryBytes) {
    const tag = tags.get(bytes.readUInt16LE(offset));
    const permissions = bytes.readUInt16LE(offset + 2);
    if (tag === undefined || permissions > 7) throw damaged('an entry makes no sense');
    const id = tag.hasId ? String(bytes.readUInt32LE(offset + 4)) : '';
    const letters = [4, 2, 1].map((bit, index) => ((permissions & bit) === 0 ? '-' : 'rwx'[index])).join('');
    entries.push(`${tag.word}:${id}:${letters}`);
  }
  return entries.join(',');
}

function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', `a POSIX ACL is damaged: ${why}`);
}
