import { createMemoryHost } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { type LayerMember, ownMember } from './layer-member.ts';
import { memberWriter } from './member-writer.ts';

const blockBytes = 16;

/** A file system of 16 blocks at byte 32 of an image, and a debugfs that gives each file the next block from 4 on. */
function writer(stderr = '') {
  const scripts: string[] = [];
  const host = createMemoryHost({
    files: { '/image': '.'.repeat(32 + 16 * blockBytes) },
    run: async (command, args) => {
      if (command !== 'debugfs') return { stdout: '', stderr: '' };
      const script = (await host.readText(args[2] ?? '')) ?? '';
      scripts.push(script);
      let block = 3;
      const stdout = script
        .split('\n')
        .filter((line) => line.startsWith('ex '))
        .map((line) => {
          block += 1;
          return `debugfs: ${line}\n 0/ 0 1/ 1 0 - 0 ${block} - ${block} 1 Uninit\n`;
        });
      return { stdout: stdout.join(''), stderr: `debugfs 1.47.0 (5-Feb-2023)\n${stderr}` };
    },
  });
  const file = { path: '/image', offsetBytes: 32 };
  return { scripts, host, ...memberWriter({ host, file, blockBytes, scratch: '/scratch' }) };
}

const group = (...members: readonly LayerMember[]) => ({ base: '/docker', members: () => members });
const link: LayerMember = { ...ownMember('d/b', { mode: 0 }), kind: 'hard-link', linkName: './d/a' };

describe('members written into an image', () => {
  it('become names, links with their counts and directories last; then contents; then blocks that are written', async () => {
    const { add, finish, scripts, host } = writer();
    await add(group(ownMember('./d', { mode: 0o700 }), ownMember('./d/a', { mode: 0o600, text: 'contents' }), link));
    await add({ ...group(ownMember('c', { mode: 0o600, text: 'more' })), before: ['rm /docker/c'] });
    await finish();
    const lines = scripts.map((script) =>
      script.split('\n').filter((line) => line !== '' && !/ (uid|gid|mtime|mtime_extra) /.test(line)),
    );
    expect(lines).toEqual([
      [
        'cd /docker',
        'mkdir d',
        'cd /docker/d',
        'write /dev/null a',
        'fallocate a 0 0',
        'set_inode_field a size 8',
        'ex -l a',
        'set_inode_field /docker/d/a mode 0100600',
        'ln /docker/d/a b',
        'rm /docker/c',
        'cd /docker',
        'write /dev/null c',
        'fallocate c 0 0',
        'set_inode_field c size 4',
        'ex -l c',
        'set_inode_field /docker/c mode 0100600',
        'set_inode_field /docker/d/a links_count 2',
        'set_inode_field /docker/d mode 040700',
      ],
      [
        ...['extent_open /docker/d/a', 'goto_block 0', 'replace_node 0 1 4', 'extent_close'],
        ...['extent_open /docker/c', 'goto_block 0', 'replace_node 0 1 5', 'extent_close'],
      ],
    ]);
    const zeros = (count: number) => '\0'.repeat(count);
    const expected = `${'.'.repeat(96)}contents${zeros(8)}more${zeros(12)}${'.'.repeat(10 * blockBytes)}`;
    expect(await host.readText('/image')).toBe(expected);
  });

  it.each<[string, LayerMember, RegExp]>([
    ['a path that leads out', ownMember('../a', { mode: 0, text: '' }), /leads out of the layer/],
    ['an absolute path', ownMember('/a', { mode: 0, text: '' }), /leads out of the layer/],
    ['a link that leads out', { ...link, linkName: '../../a' }, /leads out of the layer/],
    ['an access control list', { ...ownMember('a', { mode: 0, text: '' }), hasAcl: true }, /access control list/],
  ])('refuses %s', async (_name, member, message) => {
    await expect(writer().add(group(member))).rejects.toThrow(message);
  });

  it('notices a file that did not get all of its blocks', async () => {
    const { add, finish } = writer();
    await add(group(ownMember('a', { mode: 0, text: 'x'.repeat(blockBytes + 1) })));
    await expect(finish()).rejects.toThrow('gave 1 blocks to /docker/a, which needs 2');
  });

  it('notices a layer that changes between the two times that it is read', async () => {
    const { add, finish } = writer();
    const members = [ownMember('a', { mode: 0, text: 'x' }), ownMember('b', { mode: 0, text: 'x' })];
    await add({ base: '/', members: () => members.splice(0, 1) });
    await expect(finish()).rejects.toThrow('has changed');
  });

  it.each([
    ['fallocate: Could not allocate block in ext2 filesystem', 'no-space'],
    ['a: File not found by ext2_lookup', 'write-failed'],
  ])('takes "%s" for a failure', async (complaint, code) => {
    const { add, finish } = writer(complaint);
    await add(group(ownMember('a', { mode: 0 })));
    await expect(finish()).rejects.toMatchObject({ code });
  });
});
