import { MigrateError } from '@migrate/core';
import { expect, it } from 'vitest';
import { aclText } from './acl-text.ts';

function acl(...entries: readonly (readonly [tag: number, permissions: number, id: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  }
  return bytes;
}

const nobody = 0xffffffff;

it('writes all kinds of entries', () => {
  const value = acl([1, 7, nobody], [2, 6, 231072], [4, 5, nobody], [8, 0, 4e9], [0x10, 7, nobody], [0x20, 1, nobody]);
  expect(aclText(value)).toBe('user::rwx,user:231072:rw-,group::r-x,group:4000000000:---,mask::rwx,other::--x');
});

it.each([
  ['another version', Buffer.from([1, 0, 0, 0])],
  ['a cut entry', acl([1, 7, nobody]).subarray(0, 9)],
  ['an unknown tag', acl([3, 7, nobody])],
  ['permissions beyond rwx', acl([1, 8, nobody])],
  ['nothing', Buffer.alloc(0)],
])('refuses %s', (_, value) => {
  expect(() => aclText(value)).toThrow(MigrateError);
});
