import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FileTree, MigrateError } from '@migrate/core';
import fc from 'fast-check';
import type { Header } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MemoryEntry, memoryTree } from './memory-tree.ts';
import { readTarBack } from './read-tar-back.ts';
import { type TarOptions, writeTar } from './write-tar.ts';

const second = 1_000_000_000n;
const mebibyte = 1024 * 1024;

async function archiveOf(tree: FileTree, options: Partial<TarOptions> = {}): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of writeTar(tree, { maximumDataBytes: 2 ** 40, ...options })) parts.push(part);
  return Buffer.concat(parts);
}

function gnuTar(args: readonly string[], input: Buffer): string {
  return execFileSync('tar', args, { input, encoding: 'latin1', env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } });
}

describe('what GNU tar reads', () => {
  const long = `${'d'.repeat(200)}`;
  const entries: readonly MemoryEntry[] = [
    {
      name: 'plain',
      kind: 'file',
      contents: 'hello\n',
      mode: 0o4755,
      uid: 1000,
      gid: 100,
      modifiedNs: 86_400n * second,
    },
    { name: 'old', kind: 'file', modifiedNs: -157_766_400n * second },
    { name: 'half', kind: 'file', modifiedNs: -157_766_400n * second + 500_000_000n },
    {
      name: 'far',
      kind: 'file',
      modifiedNs: 8_000_000_000n * second + 123_456_789n,
      uid: 231_072_000,
      gid: 4_000_000_000,
    },
    { name: 'link', kind: 'symlink', contents: 'plain', mode: 0o777 },
    { name: 'long-link', kind: 'symlink', contents: 'x/'.repeat(150), mode: 0o777 },
    { name: 'null', kind: 'character-device', represents: { major: 1, minor: 3 }, mode: 0o666 },
    { name: 'disk', kind: 'block-device', represents: { major: 259, minor: 70_000 }, mode: 0o660 },
    { name: 'pipe', kind: 'fifo', mode: 0o600 },
    { name: 'control', kind: 'socket' },
    { name: Buffer.from([0xff, 0x0a, 0x41]), kind: 'file', contents: 'odd' },
    { name: long, kind: 'directory', mode: 0o1777, children: [{ name: long, kind: 'file', contents: 'deep' }] },
    { name: 'twin-1', kind: 'file', contents: 'same', inode: 77, links: 2 },
    { name: 'twin-2', kind: 'file', contents: 'same', inode: 77, links: 2 },
  ];
  let directory: string;
  let archive: Buffer;
  const leftOut: string[] = [];

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tar-'));
    archive = await archiveOf(memoryTree(entries), { onLeftOut: (path, why) => leftOut.push(`${path} ${why}`) });
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('lists owners, modes, sizes, times, links and devices as they were', () => {
    const lines = gnuTar(['-tv', '--numeric-owner', '--full-time', '--quoting-style=escape', '-f', '-'], archive)
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/ +/g, ' '))
      // GNU tar 1.34 unpacks fractions of seconds before 1970 rightly, but lists them a second late.
      .filter((line) => !line.endsWith(' ./half'));
    expect(lines).toEqual([
      'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 ./',
      '-rwsr-xr-x 1000/100 6 1970-01-02 00:00:00 ./plain',
      '-rw-r--r-- 0/0 0 1965-01-01 00:00:00 ./old',
      '-rw-r--r-- 231072000/4000000000 0 2223-07-06 14:13:20.123456789 ./far',
      'lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 ./link -> plain',
      `lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 ./long-link -> ${'x/'.repeat(150)}`,
      'crw-rw-rw- 0/0 1,3 1970-01-01 00:00:00 ./null',
      'brw-rw---- 0/0 259,70000 1970-01-01 00:00:00 ./disk',
      'prw------- 0/0 0 1970-01-01 00:00:00 ./pipe',
      '-rw-r--r-- 0/0 3 1970-01-01 00:00:00 ./\\377\\nA',
      `drwxrwxrwt 0/0 0 1970-01-01 00:00:00 ./${long}/`,
      `-rw-r--r-- 0/0 4 1970-01-01 00:00:00 ./${long}/${long}`,
      '-rw-r--r-- 0/0 4 1970-01-01 00:00:00 ./twin-1',
      'hrw-r--r-- 0/0 0 1970-01-01 00:00:00 ./twin-2 link to ./twin-1',
    ]);
  });

  it('says which sockets are left out', () => {
    expect(leftOut).toEqual(['"./control" a socket: tar archives cannot hold one']);
  });

  it('unpacks without a word of complaint', () => {
    const devices = ['--exclude=./null', '--exclude=./disk'];
    gnuTar(['-x', '--no-same-owner', '--warning=no-timestamp', ...devices, '-C', directory, '-f', '-'], archive);
    const names = readdirSync(Buffer.from(directory), { encoding: 'buffer' });
    expect(names.some((name) => name.equals(Buffer.from([0xff, 0x0a, 0x41])))).toBe(true);
    expect(readFileSync(join(directory, long, long), 'utf8')).toBe('deep');
    expect(readlinkSync(join(directory, 'long-link'))).toBe('x/'.repeat(150));
    expect(lstatSync(join(directory, 'twin-1')).ino).toBe(lstatSync(join(directory, 'twin-2')).ino);
    expect(lstatSync(join(directory, 'far'), { bigint: true }).mtimeNs).toBe(8_000_000_000n * second + 123_456_789n);
    expect(lstatSync(join(directory, 'half'), { bigint: true }).mtimeNs).toBe(-157_766_400n * second + 500_000_000n);
  });

  it('is the same bytes each time', async () => {
    expect((await archiveOf(memoryTree(entries))).equals(archive)).toBe(true);
  });
});

describe('holes', () => {
  const sizeBytes = 3 * mebibyte + 700;
  const contents = Buffer.alloc(sizeBytes);
  contents.fill('a', mebibyte, mebibyte + 4096);
  contents.fill('b', 2 * mebibyte, 2 * mebibyte + 1024);
  const data = [
    { startByte: mebibyte, endByte: mebibyte + 4096 },
    { startByte: 2 * mebibyte, endByte: 2 * mebibyte + 1024 },
  ];
  const unpacked = async (entry: MemoryEntry): Promise<{ readonly bytes: Buffer; readonly archive: Buffer }> => {
    const archive = await archiveOf(memoryTree([entry]));
    const bytes = execFileSync('tar', ['-xO', '-f', '-', `./${entry.name}`], { input: archive, maxBuffer: 2 ** 26 });
    return { bytes, archive };
  };

  it.each([
    ['in the middle and at the end', contents, data],
    ['all of it', Buffer.alloc(sizeBytes), []],
    ['up to the end', contents, [...data, { startByte: 3 * mebibyte, endByte: sizeBytes }]],
    ['ranges that are not blocks', contents, [{ startByte: mebibyte + 1, endByte: 2 * mebibyte + 1025 }]],
  ])('are kept: %s', async (_, whole, ranges) => {
    if (ranges.length > 0) whole.fill('c', 3 * mebibyte);
    const shown = Buffer.alloc(sizeBytes);
    for (const { startByte, endByte } of ranges) whole.copy(shown, startByte, startByte, endByte);
    const { bytes, archive } = await unpacked({ name: 'sparse', kind: 'file', contents: shown, data: ranges });
    expect(bytes.equals(shown)).toBe(true);
    expect(archive.length).toBeLessThan(mebibyte + 8192);
  });

  it('are stored as zeros where they are small, for readers that know no GNU.sparse', async () => {
    const { archive } = await unpacked({
      name: 'library',
      kind: 'file',
      contents: contents.subarray(0, mebibyte + 4096),
      data: [{ startByte: 60 * 1024, endByte: mebibyte + 4096 }],
    });
    expect(archive.includes('GNU.sparse')).toBe(false);
    expect(archive.length).toBeGreaterThan(mebibyte);
  });
});

describe('any tree', () => {
  const name = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 150 })
    .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..' && Buffer.byteLength(text) <= 255);
  const id = fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 0, max: 2 ** 32 - 2 }));
  const attribute = fc.record({ name: fc.constantFrom('user.a', 'trusted.x=%y'), value: fc.uint8Array() });
  const common = {
    name,
    uid: id,
    gid: id,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    modifiedNs: fc.bigInt(-(2n ** 61n), 2n ** 62n),
  };
  const leaf = fc.oneof(
    fc.record({
      ...common,
      kind: fc.constant('file' as const),
      contents: fc.uint8Array({ maxLength: 2000 }),
      attributes: fc.array(attribute, { maxLength: 2 }),
    }),
    fc.record({ ...common, kind: fc.constant('symlink' as const), contents: name }),
    fc.record({
      ...common,
      kind: fc.constant('block-device' as const),
      represents: fc.record({ major: fc.nat(4095), minor: fc.nat(1048575) }),
    }),
  );

  it('is read back by tar-stream as it was', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(leaf, { selector: (entry) => entry.name, maxLength: 5 }), async (entries) => {
        const folder: MemoryEntry = { name: 'folder', kind: 'directory', children: entries };
        const members = await readTarBack(await archiveOf(memoryTree([folder])));
        expect(members.slice(2).map(asSeen)).toEqual(entries.map(asWritten));
      }),
      { numRuns: 150 },
    );
  });

  function asWritten(entry: MemoryEntry): unknown {
    const { uid, gid, mode, represents } = entry;
    const attributes = Object.fromEntries(
      (entry.attributes ?? []).map(({ name: key, value }) => [
        `SCHILY.xattr.${key.replaceAll('%', '%25').replaceAll('=', '%3D')}`,
        Buffer.from(value).toString('utf8'),
      ]),
    );
    return {
      path: `./folder/${entry.name}`,
      type: entry.kind,
      ids: [uid, gid, mode],
      target: entry.kind === 'symlink' ? entry.contents : null,
      device: represents === undefined ? [0, 0] : [represents.major, represents.minor],
      contents: entry.kind === 'file' ? Buffer.from(entry.contents ?? '').toString('hex') : '',
      attributes,
      modifiedNs: entry.modifiedNs,
    };
  }

  function asSeen({ header, contents }: { header: Header; contents: Buffer }): unknown {
    const { pax = {} } = header as { pax?: Record<string, string> };
    const attributes = Object.fromEntries(Object.entries(pax ?? {}).filter(([key]) => key.startsWith('SCHILY.')));
    return {
      path: header.name,
      type: header.type,
      ids: [Number(pax?.uid ?? header.uid), Number(pax?.gid ?? header.gid), header.mode],
      target: header.type === 'symlink' ? header.linkname : null,
      device: [header.devmajor, header.devminor],
      contents: contents.toString('hex'),
      attributes,
      modifiedNs: nanoseconds(pax?.mtime ?? String((header.mtime?.getTime() ?? 0) / 1000)),
    };
  }

  function nanoseconds(decimal: string): bigint {
    const [, sign = '', whole = '0', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(decimal) ?? [];
    const magnitude = BigInt(whole) * second + BigInt(fraction.padEnd(9, '0'));
    return sign === '-' ? -magnitude : magnitude;
  }
});

describe('trees that are none', () => {
  it.each([
    ['a name with a slash', [{ name: '../x', kind: 'file' }], {}, /impossible name "..\/x"/],
    ['a name that leads up', [{ name: '..', kind: 'directory' }], {}, /impossible name/],
    ['an empty name', [{ name: '', kind: 'file' }], {}, /impossible name/],
    ['a directory inside itself', [{ name: 'up', kind: 'directory', inode: 2 }], {}, /second name/],
    ['more data than the disk', [{ name: 'a', kind: 'file', contents: 'abc' }], { maximumDataBytes: 2 }, /more data/],
    [
      'data in the wrong order',
      [{ name: 'a', kind: 'file', contents: Buffer.alloc(mebibyte), data: [{ startByte: 5, endByte: 2 }] }],
      {},
      /impossible places/,
    ],
  ] satisfies [string, MemoryEntry[], Partial<TarOptions>, RegExp][])('%s', async (_, entries, options, message) => {
    const archiving = archiveOf(memoryTree(entries), options);
    await expect(archiving).rejects.toThrow(MigrateError);
    await expect(archiving).rejects.toThrow(message);
  });

  it('does not go on behind the end of a file', async () => {
    const tree = memoryTree([{ name: 'a', kind: 'file', contents: 'abc' }]);
    const short: FileTree = { ...tree, open: () => ({ sizeBytes: 0, read: async () => 0, close: async () => {} }) };
    await expect(archiveOf(short)).rejects.toThrow('ends before its size');
  });
});
