import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attributeCommands, command, makeCommands, writtenCommands } from './debugfs-commands.ts';
import { type LayerMember, ownMember } from './layer-member.ts';

const member = (fields: Partial<LayerMember>): LayerMember => ({ ...ownMember('x', { mode: 0o644 }), ...fields });
/** Words as libss takes them apart: blanks separate, quotes hold together, two of them inside stand for one. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"]|"")*)"|(\S+)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

describe('commands of debugfs', () => {
  it('keep every name that has no line break as one word', () => {
    const name = fc.string({ unit: 'binary-ascii', minLength: 1 }).filter((text) => !/[\n\r\0]/.test(text));
    fc.assert(
      fc.property(name, (text) => {
        expect(wordsOf(command('write', text, 'y'))).toEqual(['write', text, 'y']);
      }),
    );
  });

  it.each([
    ['a\nrm /etc', /line break/],
    ['a\0', /line break/],
    ['x'.repeat(9000), /too long/],
  ])('refuse %j', (name, message) => expect(() => command('write', name)).toThrow(message));

  it.each<[Partial<LayerMember>, string[]]>([
    [{ kind: 'file' }, ['write /dev/null n', 'set_inode_field n size 0', 'ex -l n']],
    [
      {
        kind: 'file',
        sizeBytes: 50_000,
        ranges: [
          { startByte: 100, endByte: 4097 },
          { startByte: 40_960, endByte: 40_961 },
        ],
      },
      ['write /dev/null n', 'fallocate n 0 1', 'fallocate n 10 10', 'set_inode_field n size 50000', 'ex -l n'],
    ],
    [{ kind: 'directory' }, ['mkdir n']],
    [{ kind: 'symlink', linkName: '../a b' }, ['symlink n "../a b"']],
    [{ kind: 'character-device', represents: { major: 0, minor: 0 } }, ['mknod n c 0 0']],
    [{ kind: 'block-device', represents: { major: 8, minor: 1 } }, ['mknod n b 8 1']],
    [{ kind: 'fifo' }, ['mknod n p']],
    [{ kind: 'hard-link', linkName: 'a' }, []],
  ])('make %j', (fields, expected) => expect(makeCommands(member(fields), 'n', 4096)).toEqual(expected));

  it('say which blocks are written', () => {
    expect(writtenCommands('/a b', [])).toEqual([]);
    expect(writtenCommands('/a b', [{ logical: 3, physical: 500, count: 2 }])).toEqual([
      'extent_open "/a b"',
      'goto_block 3',
      'replace_node 3 2 500',
      'extent_close',
    ]);
  });

  it('set all that an inode has', () => {
    const fields = {
      kind: 'file' as const,
      mode: 0o4751,
      uid: 70_000,
      gid: 5,
      modifiedNs: 1_700_000_000_000_000_007n,
      attributes: [{ name: 'security.capability', value: new Uint8Array() }],
    };
    expect(attributeCommands(member(fields), '/a', ['/tmp/2'])).toEqual([
      'set_inode_field /a mode 0104751',
      'set_inode_field /a uid 70000',
      'set_inode_field /a gid 5',
      'set_inode_field /a mtime @1700000000',
      'set_inode_field /a mtime_extra 28',
      'ea_set -f /tmp/2 /a security.capability',
    ]);
  });

  it('set times as ext4 reads them, from 1901 to 2446', () => {
    const time = fc.bigInt({ min: -(2n ** 31n) * 1_000_000_000n, max: (2n ** 34n - 2n ** 31n - 1n) * 1_000_000_000n });
    fc.assert(
      fc.property(time, (modifiedNs) => {
        const lines = attributeCommands(member({ modifiedNs }), '/a', []);
        const low = BigInt(/mtime @(\d+)/.exec(lines.join('\n'))?.[1] ?? '');
        const extra = BigInt(/mtime_extra (\d+)/.exec(lines.join('\n'))?.[1] ?? '');
        // fs/ext4/ext4.h, ext4_decode_extra_time.
        const seconds = BigInt.asIntN(32, low) + ((extra & 3n) << 32n);
        expect(seconds * 1_000_000_000n + (extra >> 2n)).toBe(modifiedNs);
      }),
    );
  });
});
