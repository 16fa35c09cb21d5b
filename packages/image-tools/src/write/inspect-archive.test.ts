import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { createMemoryHost, type Event, MigrateError } from '@migrate/core';
import { describe, expect, it, vi } from 'vitest';
import { type FixtureMember, paxHeader, tarOf } from '../tar/tar-fixture.ts';
import type { ExtParameters } from './file-system-command.ts';
import { type ArchiveFacts, type ArchiveRequest, inspectArchive } from './inspect-archive.ts';

// Inflating takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const mebibyte = 1024 * 1024;
const ext4: ExtParameters = { type: 'ext4', blockBytes: 1024, inodeBytes: 256, inodes: 512, features: [] };

function inspect(members: readonly FixtureMember[], change: Partial<ArchiveRequest> = {}): Promise<ArchiveFacts> {
  return inspectBytes(gzipSync(tarOf(members)), change);
}

function inspectBytes(bytes: Buffer, change: Partial<ArchiveRequest> = {}): Promise<ArchiveFacts> {
  const host = createMemoryHost({ files: { '/x.tgz': bytes } });
  const request = { host, reference: { path: '/x.tgz' }, sizeBytes: 8 * mebibyte, fileSystem: ext4, emit: () => {} };
  return inspectArchive({ ...request, ...change });
}

const directory = (name: string): FixtureMember => ({ name, type: '5' });
const symlink = (name: string, linkName: string): FixtureMember => ({ name, type: '2', linkName });
const hardLink = (name: string, linkName: string): FixtureMember => ({ name, type: '1', linkName });

describe('a hostile archive', () => {
  it.each<[string, readonly FixtureMember[], string]>([
    ['an absolute path', [{ name: '/etc/shadow' }], '"/etc/shadow" is an absolute path'],
    ['a path that leads out', [{ name: 'a/../../b' }], '"a/../../b" leads out'],
    ['such a path in an extended header', [paxHeader([['path', '../b']]), { name: 'a' }], '"../b" leads out'],
    [
      'such a path of a sparse file',
      [
        paxHeader([
          ['GNU.sparse.name', '../b'],
          ['GNU.sparse.map', ''],
          ['GNU.sparse.size', '5'],
        ]),
        { name: 'a' },
      ],
      '"../b" leads out',
    ],
    [
      'a write through a symlink',
      [symlink('a', '/etc'), { name: 'a/b' }],
      '"a/b" would be written through "a", a symlink',
    ],
    ['a write through a symlink above', [symlink('./a', '.'), { name: 'a/b/c' }], 'written through "a", a symlink'],
    ['a directory through a symlink', [symlink('a', 'b'), directory('a/c/')], 'written through "a"'],
    ['a symlink in place of a directory', [directory('a/'), symlink('a', '/etc')], '"a" comes twice'],
    [
      'a symlink in place of a directory that only a path named',
      [{ name: 'a/b' }, symlink('a', '/etc')],
      '"a" comes twice',
    ],
    ['a directory in place of a symlink', [symlink('a', '/etc'), directory('a/')], '"a/" comes twice'],
    ['a file below a file', [{ name: 'a' }, { name: 'a/b' }], 'written through "a", a file'],
    ['a hard link to outside', [hardLink('a', '/etc/shadow')], 'a hard link to "/etc/shadow", outside'],
    ['a hard link upwards', [hardLink('a', '../x')], 'a hard link to "../x", outside'],
    ['a hard link to what is not in it', [hardLink('a', 'etc/shadow')], 'no earlier file of the archive'],
    ['a hard link to a directory', [directory('d/'), hardLink('a', 'd')], 'no earlier file of the archive'],
    ['a hard link through a symlink', [symlink('d', '/etc'), hardLink('a', 'd/shadow')], 'no earlier file'],
    [
      'a write through a hard link to a symlink',
      [symlink('d', '/etc'), hardLink('e', 'd'), { name: 'e/f' }],
      'through "e"',
    ],
    ['a name twice', [{ name: 'a' }, { name: './/a' }], '".//a" comes twice'],
    ['a file with the name of a directory', [{ name: 'a/' }], 'with the name of a directory'],
    ['an empty name', [{ name: '' }], 'an empty name'],
    ['a root that is no directory', [symlink('.', '/etc')], 'must be a directory'],
    ['a file in place of lost+found', [{ name: './lost+found' }], 'must be a directory'],
    ['control characters in a name', [{ name: '/\u001b[31m\n' }], '"/\\u001b[31m\\n" is an absolute path'],
    ['a symlink to nothing', [symlink('a', '')], 'a symlink to nothing'],
    ['a name that is too long', [paxHeader([['path', 'n'.repeat(256)]]), { name: 'a' }], 'longer than Linux allows'],
  ])('is refused with %s', async (_, members, message) => {
    const thrown: unknown = await inspect(members).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: 'invalid-input' });
    expect(String(thrown)).toContain('reading the archive /x.tgz: ');
    expect(String(thrown)).toContain(message);
  });

  it.each<[string, readonly FixtureMember[], string]>([
    ['a symlink', [symlink('a', 'b')], 'is a symlink, which FAT cannot hold'],
    ['a device', [{ name: 'a', type: '3' }], 'is a character-device, which FAT'],
    ['attributes', [paxHeader([['SCHILY.xattr.user.a', 'b']]), { name: 'a' }], 'has extended attributes'],
    ['a forbidden character', [{ name: 'a:b' }], 'a name that FAT cannot hold'],
    ['a dot at the end', [{ name: 'a.' }], 'a name that FAT cannot hold'],
    ['a letter outside ASCII', [{ name: Buffer.from('ü').toString('latin1') }], '"ü" has a name'],
    ['names that differ in case', [{ name: 'a' }, { name: 'A' }], 'only in case'],
  ])('is refused for FAT with %s', async (_, members, message) => {
    await expect(inspect(members, { fileSystem: 'fat' })).rejects.toThrow(message);
  });

  it('is refused where it inflates without end', async () => {
    const bomb = gzipSync(Buffer.concat([tarOf([]), Buffer.alloc(100 * mebibyte)]));
    await expect(inspectBytes(bomb)).rejects.toThrow('more than 92274688 bytes');
  });
});

describe('an archive', () => {
  it('has its members counted as the file system will', async () => {
    const facts = await inspect([
      directory('./'),
      directory('lost+found/'),
      { name: 'implied/deep/file', contents: 'x' },
      directory('implied/'),
      symlink('link', '/anywhere/at/all'),
      hardLink('second', './implied/deep/file'),
      hardLink('link-to-link', 'link'),
      { name: 'tty', type: '3' },
      { name: 'disk', type: '4' },
      { name: 'pipe', type: '6' },
    ]);
    expect(facts.counts).toEqual({
      ...{ file: 1, directory: 2, symlink: 1, 'hard-link': 2, fifo: 1 },
      ...{ 'character-device': 1, 'block-device': 1 },
    });
    expect(facts.files).toEqual([]);
  });

  it('for FAT has its files listed with their hashes', async () => {
    const facts = await inspect([{ name: './EFI/x.efi', contents: 'abc' }, { name: '__proto__' }], {
      fileSystem: 'fat',
    });
    expect(facts.files).toEqual([
      { path: 'EFI/x.efi', sizeBytes: 3, sha256: createHash('sha256').update('abc').digest('hex') },
      { path: '__proto__', sizeBytes: 0, sha256: createHash('sha256').digest('hex') },
    ]);
  });

  it('must have the hash that is configured', async () => {
    const bytes = gzipSync(tarOf([{ name: 'a' }]));
    for (const algorithm of ['sha256', 'sha1', 'md5'] as const) {
      const digest = createHash(algorithm).update(bytes).digest('hex');
      const facts = await inspectBytes(bytes, { reference: { path: '/x.tgz', hash: { algorithm, digest } } });
      expect(facts.fileSha256).toBe(createHash('sha256').update(bytes).digest('hex'));
      const wrong = digest.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
      await expect(
        inspectBytes(bytes, { reference: { path: '/x.tgz', hash: { algorithm, digest: wrong } } }),
      ).rejects.toMatchObject({ code: 'verify-mismatch' });
    }
  });

  it('must fit, holes not counted', async () => {
    const large = { name: 'a', contents: Buffer.alloc(9 * mebibyte) };
    await expect(inspect([large])).rejects.toMatchObject({ code: 'no-space' });
    await expect(inspect([large], { fileSystem: 'fat' })).rejects.toMatchObject({ code: 'no-space' });
    await inspect([large], { sizeBytes: 16 * mebibyte });
    const records = [
      ['GNU.sparse.map', '0,4'],
      ['GNU.sparse.size', String(2 ** 40)],
    ] as const;
    await inspect([paxHeader(records), { name: 'a', contents: 'data' }]);
    const many = Array.from({ length: 600 }, (_, index) => ({ name: `${index}` }));
    await expect(inspect(many)).rejects.toThrow('it has 600 files, the file system will have room for 512');
  });

  it('may be missing, empty or damaged, and says so', async () => {
    const missing = createMemoryHost();
    await expect(inspectBytes(Buffer.alloc(0), { host: missing })).rejects.toMatchObject({ code: 'read-failed' });
    await expect(inspectBytes(Buffer.alloc(0))).rejects.toThrow('it has no end mark');
    const cut = gzipSync(tarOf([{ name: 'a', contents: 'x'.repeat(5000) }]));
    await expect(inspectBytes(cut.subarray(0, cut.length - 20))).rejects.toBeInstanceOf(MigrateError);
    await expect(inspectBytes(Buffer.from('PK\x03\x04'))).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('tells how far it is read', async () => {
    const events: Event[] = [];
    const facts = await inspect([{ name: 'a' }], { emit: (event) => void events.push(event) });
    expect(events).toEqual([
      { kind: 'progress', text: 'proving /x.tgz', done: facts.fileBytes, total: facts.fileBytes, unit: 'bytes' },
    ]);
  });
});
