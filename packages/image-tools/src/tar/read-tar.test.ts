import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MigrateError } from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readTar, type TarMember } from './read-tar.ts';
import { type FixtureMember, paxHeader, tarMember, tarOf } from './tar-fixture.ts';

// Real tools take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
}

interface Read extends Omit<TarMember, 'contents'> {
  readonly bytes: Buffer;
}

async function readAll(archive: Uint8Array, pieceBytes = 1000): Promise<Read[]> {
  const members: Read[] = [];
  for await (const { contents, ...member } of readTar(inPieces(archive, pieceBytes))) {
    const parts: Uint8Array[] = [];
    if (member.sizeBytes < 10_000_000) for await (const part of contents()) parts.push(part);
    members.push({ ...member, bytes: Buffer.concat(parts) });
  }
  return members;
}

const read = (...members: FixtureMember[]): Promise<Read[]> => readAll(tarOf(members));

describe('archives of GNU tar', () => {
  let tree: string;
  const names = ['plain', 'n'.repeat(120), `${'d'.repeat(90)}/${'e'.repeat(90)}/deep`, 'umlaut-ü'];
  const hole = Buffer.alloc(3 * 1024 * 1024);
  hole.write('data', 1024 * 1024);
  const sparse = Buffer.concat([hole, Buffer.from('end')]);

  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), 'tar-'));
    for (const name of names) {
      mkdirSync(join(tree, name, '..'), { recursive: true });
      writeFileSync(join(tree, name), `contents of ${name}`);
    }
    symlinkSync('x'.repeat(150), join(tree, 'symlink'));
    execFileSync('ln', [join(tree, 'plain'), join(tree, 'second-name')]);
    execFileSync('mkfifo', [join(tree, 'fifo')]);
    execFileSync('truncate', ['-s', String(hole.length), join(tree, 'sparse')]);
    execFileSync('dd', [`of=${join(tree, 'sparse')}`, 'bs=1M', 'seek=1', 'conv=notrunc'], {
      input: 'data',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    execFileSync('dd', [`of=${join(tree, 'sparse')}`, 'bs=1M', 'seek=3', 'conv=notrunc'], {
      input: 'end',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
  });
  afterAll(() => rmSync(tree, { recursive: true }));

  it.each([
    ['gnu'],
    ['posix', '--sparse-version=0.1'],
    ['posix', '--sparse-version=1.0'],
    ['posix', '--pax-option=comment=hello'],
  ])('are read in the form %s %s', async (format, ...more) => {
    const archive = execFileSync(
      'tar',
      [`--format=${format}`, '--sparse', ...more, '--sort=name', '-cf', '-', '-C', tree, '.'],
      {
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    const members = await readAll(archive);
    const find = (name: string): Read | undefined =>
      members.find(({ path }) => path === `./${Buffer.from(name).toString('latin1')}`);
    for (const name of names) expect(find(name)?.bytes.toString(), name).toBe(`contents of ${name}`);
    expect(find('symlink')).toMatchObject({ kind: 'symlink', linkName: 'x'.repeat(150), sizeBytes: 0 });
    expect(find('second-name')).toMatchObject({ kind: 'hard-link', linkName: './plain', sizeBytes: 0 });
    expect(find('fifo')).toMatchObject({ kind: 'fifo' });
    const found = find('sparse');
    expect(found?.bytes.equals(sparse)).toBe(true);
    expect(found?.ranges.length).toBe(2);
    expect(members[0]).toMatchObject({ path: './', kind: 'directory' });
  });
});

describe('an archive', () => {
  it('may come in pieces of any size, and its contents may be left', async () => {
    const archive = tarOf([
      { name: 'a', contents: 'x'.repeat(1500) },
      { name: 'b', contents: 'y' },
    ]);
    for (const size of [1, 511, 512, 513, 10_000]) {
      const left: string[] = [];
      for await (const { path } of readTar(inPieces(archive, size))) left.push(path);
      expect(left).toEqual(['a', 'b']);
      expect((await readAll(archive, size)).map(({ bytes }) => bytes.length)).toEqual([1500, 1]);
    }
  });

  it('says what attributes take, and numbers beyond octal', async () => {
    const [member] = await read(
      paxHeader([
        ['SCHILY.xattr.user.a', '1\n2'],
        ['uid', '4000000000'],
      ]),
      { name: 'a' },
    );
    expect(member).toMatchObject({ attributeBytes: 'SCHILY.xattr.user.a'.length + 3, uid: 4_000_000_000 });
  });

  it.each<[string, readonly FixtureMember[], string]>([
    ['unknown member types', [{ name: 'a', type: 'M' }], 'a member of type "M" ("a")'],
    ['contents of a symlink', [{ name: 'a', type: '2', linkName: 'b', contents: 'x' }], 'symlink with contents'],
    ['contents of a hard link', [{ name: 'a', type: '1', linkName: 'b', contents: 'x' }], 'hard-link with contents'],
    ['keywords that would be lost', [paxHeader([['LIBARCHIVE.x', '1']]), { name: 'a' }], 'LIBARCHIVE.x, which'],
    [
      'a keyword given twice',
      [
        paxHeader([
          ['path', 'a'],
          ['path', 'b'],
        ]),
        { name: 'a' },
      ],
      'path twice',
    ],
    ['settings for all members', [paxHeader([['path', '/etc/passwd']], 'g'), { name: 'a' }], 'path for all members'],
    [
      'two long names',
      [{ name: 'l', type: 'L', contents: 'a\0' }, paxHeader([['path', 'b']]), { name: 'c' }],
      'two long names',
    ],
    [
      'two extended headers',
      [paxHeader([['path', 'a']]), paxHeader([['path', 'b']]), { name: 'c' }],
      'two extended headers',
    ],
    ['a NUL in a name', [paxHeader([['path', 'a\0b']]), { name: 'c' }], 'NUL'],
    ['an extended header of nothing', [paxHeader([['path', 'a']])], 'no member'],
    ['a malformed record', [{ name: 'p', type: 'x', contents: '99 path=a\n' }, { name: 'a' }], 'malformed'],
    ['a number that is none', [paxHeader([['size', '1e3']]), { name: 'a' }], 'size=1e3'],
    [
      'a huge extended header',
      [{ name: 'p', type: 'x', contents: Buffer.alloc(2 ** 20 + 1, 'a') }],
      'more than 1048576',
    ],
    [
      'a sparse map that does not fit',
      [
        paxHeader([
          ['GNU.sparse.map', '0,5'],
          ['GNU.sparse.size', '10'],
        ]),
        { name: 'a', contents: 'four' },
      ],
      'does not fit',
    ],
    [
      'a sparse map that overlaps',
      [
        paxHeader([
          ['GNU.sparse.map', '0,3,2,1'],
          ['GNU.sparse.size', '10'],
        ]),
        { name: 'a', contents: 'four' },
      ],
      'overlaps',
    ],
    [
      'a sparse map beyond the file',
      [
        paxHeader([
          ['GNU.sparse.map', '8,4'],
          ['GNU.sparse.size', '10'],
        ]),
        { name: 'a', contents: 'four' },
      ],
      'beyond',
    ],
    [
      'a sparse map of words',
      [
        paxHeader([
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
          ['GNU.sparse.realsize', '4'],
        ]),
        { name: 'a', contents: 'four\n' },
      ],
      'no list of numbers',
    ],
    [
      'a sparse format of the future',
      [
        paxHeader([
          ['GNU.sparse.major', '2'],
          ['GNU.sparse.minor', '0'],
        ]),
        { name: 'a' },
      ],
      'not known',
    ],
  ])('is refused with %s', async (_, members, message) => {
    const thrown: unknown = await read(...members).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: 'invalid-input' });
    expect(String(thrown)).toContain(message);
  });

  it.each([
    ['without an end mark', tarMember({ name: 'a', contents: 'x' }), 'no end mark'],
    ['with half an end mark', Buffer.concat([tarMember({ name: 'a' }), Buffer.alloc(512)]), 'half'],
    [
      'cut off in a member',
      tarMember({ name: 'a', contents: 'x'.repeat(2000) }).subarray(0, 1000),
      'cut off at byte 1000',
    ],
    ['with something behind its end', Buffer.concat([tarOf([]), tarMember({ name: 'a' })]), 'byte 1024'],
    ['with a wrong checksum', Buffer.concat([Buffer.alloc(512, '1'), Buffer.alloc(1024)]), 'checksum'],
  ])('is refused %s', async (_, archive, message) => {
    const thrown: unknown = await readAll(archive).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(MigrateError);
    expect(String(thrown)).toContain(message);
  });

  const various: readonly FixtureMember[] = [
    { name: 'directory/', type: '5' },
    paxHeader([
      ['SCHILY.xattr.user.a', 'value'],
      ['path', 'directory/file'],
    ]),
    { name: 'file', contents: 'x'.repeat(700) },
    { name: 'long', type: 'L', contents: `${'n'.repeat(200)}\0` },
    { name: 'other', type: '2', linkName: 'target' },
    paxHeader([
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 's'],
      ['GNU.sparse.realsize', '9000'],
    ]),
    { name: 's', contents: Buffer.concat([Buffer.from('1\n4096\n4\n'.padEnd(512, '\0')), Buffer.from('data')]) },
  ];
  const original = tarOf(various);
  const changes = fc.array(fc.tuple(fc.nat(original.length - 1), fc.integer({ min: 0, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  const changed = (list: readonly (readonly [number, number])[], mends: boolean): Buffer => {
    const archive = Buffer.from(original);
    for (const [offset, byte] of list) archive[offset] = byte;
    if (mends) mendChecksums(archive, original);
    return archive;
  };

  it('is read or refused, whatever bytes are changed', async () => {
    expect((await readAll(original)).map(({ sizeBytes }) => sizeBytes)).toEqual([0, 700, 0, 9000]);
    await fc.assert(
      fc.asyncProperty(changes, fc.boolean(), async (list, mends) => {
        await readAll(changed(list, mends)).catch((thrown: unknown) => expect(thrown).toBeInstanceOf(MigrateError));
      }),
      { numRuns: 1000 },
    );
  });

  it('has for GNU tar the names that it has for us, or is refused', async () => {
    let compared = 0;
    // The headers and their extensions; contents do not matter here.
    const inHeaders = changes.map((list) =>
      list.map(([offset, byte]) => [offset - (offset % 512 > 350 ? 250 : 0), byte] as const),
    );
    await fc.assert(
      fc.asyncProperty(inHeaders, async (list) => {
        const archive = changed(list, true);
        const ours = await readAll(archive).catch(() => undefined);
        if (ours === undefined) return;
        compared += 1;
        const { stdout } = spawnSync('tar', ['--list', '--quoting-style=literal', '--file=-'], {
          input: archive,
          encoding: 'latin1',
          env: { ...process.env, LC_ALL: 'C' },
        });
        const bare = (name: string): string => name.replace(/\/+$/, '');
        expect(stdout.split('\n').slice(0, -1).map(bare)).toEqual(ours.map(({ path }) => bare(path)));
      }),
      // A keyword with a zero in it: GNU tar leaves out all records of that header.
      { numRuns: 150, examples: [[[[1040, 0]]]] },
    );
    expect(compared).toBeGreaterThan(20);
  });
});

/** Makes the headers of `original` right again in `archive`, so that what is behind the checksum is reached. */
function mendChecksums(archive: Buffer, original: Buffer): void {
  for (let offset = 0; offset < archive.length; offset += 512) {
    if (original.toString('latin1', offset + 257, offset + 262) !== 'ustar') continue;
    archive.write('        ', offset + 148);
    const sum = archive.subarray(offset, offset + 512).reduce((total, byte) => total + byte, 0);
    archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, offset + 148);
  }
}
