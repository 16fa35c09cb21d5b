import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LivingEntry, LivingTree } from './living-tree.ts';
import { openLivingTree } from './node-tree.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'living-'));
});
// Node's own removal stumbles over long paths.
afterEach(() => execFileSync('rm', ['-rf', directory]));

async function open(path = directory): Promise<LivingTree> {
  const tree = await openLivingTree(path, ['getfattr']);
  if (tree === undefined) throw new Error('nothing is there');
  return tree;
}

async function textOf(tree: LivingTree, entry: LivingEntry): Promise<string | undefined> {
  const reader = await tree.open(entry);
  if (reader === undefined) return undefined;
  const bytes = Buffer.alloc(reader.sizeBytes);
  await reader.read(bytes, 0);
  await reader.close();
  return bytes.toString();
}

test('has every kind of entry with its bytes, sorted', async () => {
  writeFileSync(join(directory, 'file'), 'contents', { mode: 0o640 });
  linkSync(join(directory, 'file'), join(directory, 'hard'));
  symlinkSync('nowhere', join(directory, 'link'));
  mkdirSync(join(directory, 'sub'));
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  // Not UTF-8.
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0xfe, 0x41])]), 'odd');
  const tree = await open();
  expect(tree.root).toMatchObject({ kind: 'directory', isElsewhere: false });
  const seen: Record<string, LivingEntry> = {};
  const texts: (string | undefined)[] = [];
  for await (const entry of tree.children(tree.root)) {
    seen[Buffer.from(entry.name).toString('latin1')] = entry;
    texts.push(entry.kind === 'file' ? await textOf(tree, entry) : (await tree.linkTarget(entry))?.toString());
  }
  expect(Object.keys(seen)).toEqual(['file', 'hard', 'link', 'pipe', 'sub', '\xff\xfeA']);
  expect(texts).toEqual(['contents', 'contents', 'nowhere', undefined, undefined, 'odd']);
  expect(seen.file).toMatchObject({ kind: 'file', mode: 0o640, sizeBytes: 8, links: 2 });
  expect(seen.hard?.identity).toBe(seen.file?.identity);
  expect([seen.link?.kind, seen.pipe?.kind, seen.sub?.kind]).toEqual(['symlink', 'fifo', 'directory']);
});

test('is never led out of the tree by what changes meanwhile', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'outside-'));
  writeFileSync(join(outside, 'secret'), 'canary');
  mkdirSync(join(directory, 'sub'));
  writeFileSync(join(directory, 'sub/inner'), 'inner');
  writeFileSync(join(directory, 'text'), 'text');
  const tree = await open();
  const found: string[] = [];
  for await (const entry of tree.children(tree.root)) {
    const path = join(directory, Buffer.from(entry.name).toString());
    renameSync(path, `${path}-away`);
    symlinkSync(entry.kind === 'directory' ? outside : join(outside, 'secret'), path);
    if (entry.kind === 'directory') for await (const child of tree.children(entry)) found.push(String(child.name));
    else expect(await tree.open(entry)).toBeUndefined();
  }
  expect(found).toEqual([]);
  rmSync(outside, { recursive: true });
});

test('a directory that moves while it is listed still gives its own files', async () => {
  mkdirSync(join(directory, 'sub'));
  for (const name of ['a', 'b']) writeFileSync(join(directory, 'sub', name), name);
  const tree = await open(join(directory, 'sub'));
  const texts: (string | undefined)[] = [];
  for await (const entry of tree.children(tree.root)) {
    texts.push(await textOf(tree, entry));
    if (texts.length === 1) renameSync(join(directory, 'sub'), join(directory, 'moved'));
  }
  expect(texts).toEqual(['a', 'b']);
});

test('reads paths longer than the kernel takes at once', async () => {
  const half = Array.from({ length: 15 }, () => 'x'.repeat(200)).join('/');
  for (const top of ['upper', 'lower']) mkdirSync(join(directory, top, half), { recursive: true });
  writeFileSync(join(directory, 'lower', half, 'end'), 'deep');
  renameSync(join(directory, 'lower'), join(directory, 'upper', half, 'lower'));
  const tree = await open();
  const descend = async (entry: LivingEntry): Promise<string | undefined> => {
    for await (const child of tree.children(entry))
      return child.kind === 'directory' ? await descend(child) : await textOf(tree, child);
    return undefined;
  };
  expect(await descend(tree.root)).toBe('deep');
});

test('gives the size that a file has when it is opened', async () => {
  const path = join(directory, 'log');
  writeFileSync(path, 'one');
  const tree = await open();
  for await (const entry of tree.children(tree.root)) {
    writeFileSync(path, 'one and two');
    expect((await tree.open(entry))?.sizeBytes).toBe(11);
    truncateSync(path, 1);
    rmSync(path);
    expect(await tree.open(entry)).toBeUndefined();
  }
});

test('says that getfattr is missing', async () => {
  const tree = await openLivingTree(directory, ['/nonexistent/getfattr']);
  await expect(tree?.extendedAttributes(tree.root)).rejects.toMatchObject({ code: 'not-found' });
});
