import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CpioEntry, writeCpio } from './cpio.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const file = (path: string, contents: Uint8Array, mode = 0o644): CpioEntry => ({
  path,
  mode,
  node: { kind: 'file', contents },
});

const entries: readonly CpioEntry[] = [
  { path: 'dev/console', mode: 0o600, node: { kind: 'character-device', major: 5, minor: 1 } },
  { path: 'dev/disk', mode: 0o660, node: { kind: 'block-device', major: 259, minor: 70_000 } },
  file('migrate/init', bytes('#!/bin/sh\n'), 0o755),
  file('migrate/a b/größe', bytes('x'), 0o600),
  file('migrate/empty', new Uint8Array()),
  { path: 'migrate/link', mode: 0o777, node: { kind: 'symlink', target: '../dev/console' } },
  { path: 'migrate/directory', mode: 0o1777, node: { kind: 'directory' } },
];

async function archiveOf(list: Iterable<CpioEntry>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeCpio(list)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('writeCpio', () => {
  it('is listed by cpio as it was meant', async () => {
    const { stdout, stderr, status } = spawnSync('cpio', ['-itv', '--numeric-uid-gid', '--quiet'], {
      input: await archiveOf(entries),
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
    });
    expect([status, stderr]).toEqual([0, '']);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.replace(/\s+/g, ' ')),
    ).toEqual([
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 dev',
      'crw------- 1 0 0 5, 1 Jan 1 1970 dev/console',
      'brw-rw---- 1 0 0 259, 70000 Jan 1 1970 dev/disk',
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 migrate',
      '-rwxr-xr-x 1 0 0 10 Jan 1 1970 migrate/init',
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 migrate/a b',
      '-rw------- 1 0 0 1 Jan 1 1970 migrate/a b/größe',
      '-rw-r--r-- 1 0 0 0 Jan 1 1970 migrate/empty',
      'lrwxrwxrwx 1 0 0 14 Jan 1 1970 migrate/link -> ../dev/console',
      'drwxrwxrwt 2 0 0 0 Jan 1 1970 migrate/directory',
    ]);
  });

  it('is unpacked by cpio', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cpio-'));
    try {
      const input = await archiveOf(entries.filter((entry) => !entry.node.kind.includes('device')));
      expect(spawnSync('cpio', ['-i', '--quiet'], { input, cwd: directory }).status).toBe(0);
      expect(readFileSync(join(directory, 'migrate/a b/größe'), 'utf8')).toBe('x');
      expect(readlinkSync(join(directory, 'migrate/link'))).toBe('../dev/console');
      expect(statSync(join(directory, 'migrate/init')).mode & 0o7777).toBe(0o755);
      expect(readdirSync(join(directory, 'migrate')).sort()).toEqual(['a b', 'directory', 'empty', 'init', 'link']);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('gives back every file when read by the format, in whole blocks and always the same', async () => {
    const name = fc
      .string({ unit: fc.constantFrom(...'abcdeü.-_'), minLength: 1, maxLength: 5 })
      .filter((text) => !/^\.+$/.test(text));
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
    const files = fc.dictionary(path, fc.uint8Array({ maxLength: 40 }), { maxKeys: 8 });
    await fc.assert(
      fc.asyncProperty(files, async (tree) => {
        const paths = Object.keys(tree).filter(
          (one) => !Object.keys(tree).some((other) => other.startsWith(`${one}/`)),
        );
        const archive = await archiveOf(paths.map((one) => file(one, tree[one] ?? new Uint8Array())));
        const read = readNewc(archive);
        expect(archive.length % 512).toBe(0);
        expect(new Set(read.map((entry) => entry.inode)).size).toBe(read.length);
        const found = read.filter((entry) => (entry.mode & 0o170000) === 0o100000);
        expect(found.map(({ path: one, contents }) => [one, [...contents]])).toEqual(
          paths.map((one) => [one, [...(tree[one] ?? [])]]),
        );
        expect(
          read.every((entry, index) =>
            hasParentBefore(
              read.slice(0, index).map((before) => before.path),
              entry.path,
            ),
          ),
        ).toBe(true);
        expect((await archiveOf(paths.map((one) => file(one, tree[one] ?? new Uint8Array())))).equals(archive)).toBe(
          true,
        );
      }),
    );
  });

  it.each(['', '/init', 'a//b', 'a/', './a', 'a/../b', '..', 'a\0b', 'TRAILER!!!'])(
    'refuses the path %j',
    async (path) => {
      await expect(archiveOf([file(path, new Uint8Array())])).rejects.toMatchObject({ code: 'invalid-input' });
    },
  );

  it('refuses what a kernel could not unpack', async () => {
    const one = file('a', new Uint8Array());
    await expect(archiveOf([one, one])).rejects.toThrow('a comes twice');
    await expect(archiveOf([one, file('a/b', new Uint8Array())])).rejects.toThrow('a/b lies below a');
    await expect(archiveOf([file('a/b', new Uint8Array()), { ...one, node: { kind: 'directory' } }])).rejects.toThrow(
      'a comes twice',
    );
    await expect(archiveOf([file('n'.repeat(4096), new Uint8Array())])).rejects.toThrow('too long');
    await expect(archiveOf([{ path: 'l', mode: 0o777, node: { kind: 'symlink', target: '' } }])).rejects.toThrow(
      'target',
    );
    await expect(
      archiveOf([{ path: 'd', mode: 0o600, node: { kind: 'block-device', major: -1, minor: 0 } }]),
    ).rejects.toThrow('does not fit');
  });
});

function readNewc(archive: Buffer): { path: string; mode: number; inode: number; contents: Buffer }[] {
  const found = [];
  for (let at = 0; ; ) {
    expect(archive.toString('latin1', at, at + 6)).toBe('070701');
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    expect(archive[nameEnd - 1]).toBe(0);
    const path = archive.toString('utf8', at + 110, nameEnd - 1);
    const start = Math.ceil(nameEnd / 4) * 4;
    if (path === 'TRAILER!!!') {
      expect(archive.subarray(start).every((byte) => byte === 0)).toBe(true);
      return found;
    }
    found.push({ path, mode: field(1), inode: field(0), contents: archive.subarray(start, start + field(6)) });
    at = Math.ceil((start + field(6)) / 4) * 4;
  }
}

function hasParentBefore(before: readonly string[], path: string): boolean {
  return !path.includes('/') || before.includes(path.slice(0, path.lastIndexOf('/')));
}
