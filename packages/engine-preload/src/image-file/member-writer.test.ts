import { createMemoryHost } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { type LayerMember, ownMember } from './layer-member.ts';
import { memberWriter } from './member-writer.ts';

const file = { path: '/image', offsetBytes: 1024 };

function writer(stderr = '') {
  const scripts: string[] = [];
  const host = createMemoryHost({
    files: { '/scratch/.keep': '' },
    run: async (_command, args) => {
      scripts.push((await host.readText(args[2] ?? '')) ?? '');
      return { stdout: '', stderr: `debugfs 1.47.0 (5-Feb-2023)\n${stderr}` };
    },
  });
  return { scripts, host, ...memberWriter(host, file, '/scratch') };
}

const link: LayerMember = { ...ownMember('d/b', { mode: 0 }), kind: 'hard-link', linkName: './d/a' };

describe('members written into an image', () => {
  it('become one script: names, links with their counts, directories last', async () => {
    const { add, finish, scripts, host } = writer();
    await add(ownMember('./d', { mode: 0o700 }), '/docker');
    await add(ownMember('./d/a', { mode: 0o600, text: 'contents' }), '/docker');
    await add(link, '/docker');
    await finish();
    const lines = (scripts[0] ?? '').split('\n').filter((line) => !/ (uid|gid|mtime|mtime_extra) /.test(line));
    expect(lines).toEqual([
      'cd /docker',
      'mkdir d',
      'cd /docker/d',
      'write /scratch/1 a',
      'set_inode_field /docker/d/a mode 0100600',
      'ln /docker/d/a b',
      'set_inode_field /docker/d/a links_count 2',
      'set_inode_field /docker/d mode 040700',
      '',
    ]);
    expect(await host.readText('/scratch/1')).toBe('contents');
  });

  it.each<[string, LayerMember, RegExp]>([
    ['a path that leads out', ownMember('../a', { mode: 0, text: '' }), /leads out of the layer/],
    ['an absolute path', ownMember('/a', { mode: 0, text: '' }), /leads out of the layer/],
    ['a link that leads out', { ...link, linkName: '../../a' }, /leads out of the layer/],
    ['an access control list', { ...ownMember('a', { mode: 0, text: '' }), hasAcl: true }, /access control list/],
    ['a wrong size', { ...ownMember('a', { mode: 0, text: 'x' }), sizeBytes: 2 }, /not of the size/],
  ])('refuses %s', async (_name, member, message) => {
    await expect(writer().add(member, '/docker')).rejects.toThrow(message);
  });

  it.each([
    ['write: Could not allocate block in ext2 filesystem', 'no-space'],
    ['a: File not found by ext2_lookup', 'write-failed'],
  ])('takes "%s" for a failure', async (complaint, code) => {
    await expect(writer(complaint).finish()).rejects.toMatchObject({ code });
  });
});
