// Everything that may be overwritten is overwritten, on file systems as mke2fs makes them in many shapes; e2fsck and debugfs then see
// nothing of it but other contents.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteRange, createNodeHost, type TreeEntry } from '@migrate/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { debugfs, makeExt4 } from './ext4-fixture.ts';
import { type Ext4Volume, openExt4 } from './ext4-reader.ts';
import type { KeptPaths } from './kept-inodes.ts';

let work: string;
let tree: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'replaceable-'));
  tree = makeTree();
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const kibibyte = 1024;
const sizeKib = 48 * kibibyte;
const keeps: KeptPaths = { required: ['/boot', '/state'], optional: ['/usr/font', '/nowhere', '/data'] };

/** A tree with files to keep, others, and all that has blocks without being a file. */
function makeTree(): string {
  const tree = mkdtempSync(join(work, 'tree-'));
  for (const path of ['boot/grub', 'state', 'usr', 'data/many', 'data/deep'])
    mkdirSync(join(tree, path), { recursive: true });
  for (const [path, size] of Object.entries({
    'boot/kernel': 3_000_001,
    'boot/grub/grub.cfg': 7000,
    'boot/grub/grubenv': 1024,
    'state/image': 5_000_000,
    'state/small': 10,
    'usr/font': 60_000,
    'usr/menu-picture': 40_000,
    'usr/theme': 30_000,
    'data/database': 12_000_000,
    'data/log': 100_000,
  }))
    writeFileSync(join(tree, path), randomBytes(size));
  for (let index = 0; index < 400; index += 1)
    writeFileSync(
      join(tree, 'data/many', `a file whose name is long, so that the directory has blocks ${index}`),
      `${index}`.repeat(900),
    );
  symlinkSync('../usr/menu-picture', join(tree, 'boot/picture'));
  symlinkSync(`/${'./'.repeat(60)}usr/theme`, join(tree, 'boot/grub/theme'));
  symlinkSync('.', join(tree, 'boot/boot'));
  symlinkSync('/nowhere/at/all', join(tree, 'boot/broken'));
  symlinkSync('x'.repeat(300), join(tree, 'data/long-link'));
  linkSync(join(tree, 'boot/grub/grub.cfg'), join(tree, 'data/hard-link'));
  // Many pieces: a map of blocks with nodes of its own.
  const sparse = openSync(join(tree, 'data/sparse'), 'w');
  for (let index = 0; index < 100; index += 1) writeSync(sparse, randomBytes(4096), 0, 4096, index * 7 * 4096);
  ftruncateSync(sparse, 8_000_000);
  closeSync(sparse);
  return tree;
}

const shapes: Record<string, readonly string[]> = {
  'ext4 with blocks of 4 KiB': ['-t', 'ext4', '-b', '4096'],
  'ext4 with blocks of 1 KiB': ['-t', 'ext4', '-b', '1024'],
  'ext4 without flex_bg': ['-t', 'ext4', '-b', '1024', '-O', '^flex_bg'],
  'ext4 with meta_bg': ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode'],
  'ext4 with lists of orphans and quotas': ['-t', 'ext4', '-b', '1024', '-O', 'orphan_file,quota,project', '-I', '256'],
  'ext4 of old times': ['-t', 'ext4', '-b', '2048', '-O', '^64bit,^metadata_csum,uninit_bg', '-I', '128'],
  'ext4 with contents in inodes': ['-t', 'ext4', '-b', '4096', '-O', 'inline_data', '-I', '512'],
  ext3: ['-t', 'ext3', '-b', '1024'],
};

async function rangesIn(image: string, range: ByteRange): Promise<readonly ByteRange[]> {
  const reader = await createNodeHost().openRead(image);
  try {
    return await (await openExt4(reader)).replaceableRanges({ keeps, leastBytes: 0, ...range });
  } finally {
    await reader.close();
  }
}

async function overwrite(image: string, ranges: readonly ByteRange[]): Promise<void> {
  const file = await open(image, 'r+');
  for (const { startByte, endByte } of ranges) {
    const garbage = randomBytes(endByte - startByte);
    await file.write(garbage, 0, garbage.length, startByte);
  }
  await file.close();
}

function fsck(image: string): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-fn', image], { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

/** Paths and hashes of all files. */
async function digests(image: string): Promise<Readonly<Record<string, string>>> {
  const reader = await createNodeHost().openRead(image);
  const volume = await openExt4(reader);
  const found: Record<string, string> = {};
  const visit = async (directory: TreeEntry, path: string): Promise<void> => {
    for (const child of await volume.children(directory)) {
      const name = `${path}/${Buffer.from(child.name).toString()}`;
      if (child.kind === 'directory') await visit(child, name);
      if (child.kind === 'symlink') found[name] = Buffer.from(await volume.linkTarget(child)).toString();
      if (child.kind === 'file') found[name] = await digestOf(volume, child);
    }
  };
  await visit(volume.root, '');
  await reader.close();
  return found;
}

async function digestOf(volume: Ext4Volume, file: TreeEntry): Promise<string> {
  const bytes = Buffer.alloc(file.sizeBytes);
  await volume.open(file).read(bytes, 0);
  return createHash('sha256').update(bytes).digest('hex');
}

const isKept = (path: string): boolean =>
  /^\/(boot|state)\//.test(path) ||
  ['/usr/font', '/usr/menu-picture', '/usr/theme', '/data/hard-link', '/data/long-link'].includes(path);

const everything = { startByte: 0, endByte: sizeKib * kibibyte };

describe.each(Object.entries(shapes))('%s, all of whose other blocks are overwritten', (_, options) => {
  let image: string;
  let before: Readonly<Record<string, string>>;
  let ranges: readonly ByteRange[];
  let soundness: ReturnType<typeof fsck>;
  beforeAll(async () => {
    image = join(mkdtempSync(join(work, 'image-')), 'image');
    makeExt4(image, sizeKib, [...options, '-d', tree]);
    // Free room in pieces, and blocks that are allocated without having been written.
    const removed = Array.from(
      { length: 200 },
      (__, index) => `rm "/data/many/a file whose name is long, so that the directory has blocks ${index * 2}"`,
    );
    debugfs(image, removed);
    const preallocates = options.includes('ext4') && !options.includes('inline_data');
    if (preallocates) debugfs(image, ['write /dev/null /data/preallocated', 'fallocate /data/preallocated 0 500']);
    before = await digests(image);
    soundness = fsck(image);
    ranges = await rangesIn(image, everything);
    await overwrite(image, ranges);
  });

  it('is sound', () => {
    expect(fsck(image)).toEqual(soundness);
    // mke2fs has not counted quotas.
    expect(soundness.status).toBe(options.includes('orphan_file,quota,project') ? 4 : 0);
  });

  it('has every file that was to be kept, and links among them lead to such', async () => {
    const after = await digests(image);
    expect(Object.keys(after)).toEqual(Object.keys(before));
    const changed = Object.keys(before).filter((path) => after[path] !== before[path]);
    expect(changed.filter(isKept)).toEqual([]);
    expect(changed).toEqual(expect.arrayContaining(['/data/database', '/data/log']));
    const kernel = join(work, 'kernel');
    execFileSync('debugfs', ['-R', `dump /boot/kernel ${kernel}`, image], { stdio: 'pipe' });
    expect(
      createHash('sha256')
        .update(await readFile(kernel))
        .digest('hex'),
    ).toBe(before['/boot/kernel']);
  });

  it('gives the greater part of its room', () => {
    const total = ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
    expect(total).toBeGreaterThan(0.5 * sizeKib * kibibyte);
  });
});

describe('a file system whose blocks have owners that cannot be known', () => {
  const make = (name: string, options: readonly string[], commands: readonly string[] = []): string => {
    const image = join(work, name);
    makeExt4(image, 8 * kibibyte, [...options, '-d', smallTree()]);
    if (commands.length > 0) debugfs(image, commands);
    return image;
  };
  const smallTree = (): string => {
    const tree = mkdtempSync(join(work, 'tree-'));
    for (const name of ['boot', 'state']) mkdirSync(join(tree, name));
    for (const name of ['boot/one', 'other']) writeFileSync(join(tree, name), randomBytes(20_000));
    return tree;
  };
  const plain = ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum'];
  const mapped = ['-t', 'ext3', '-b', '1024'];

  it.each([
    ['that has clusters', plain.concat('-O', 'bigalloc'), [], /bigalloc/],
    ['in which the kernel found errors', plain, ['set_super_value state 3'], /not unmounted/],
    ['whose bitmap calls a block of a file free', plain, ['freeb BLOCK 2'], /calls free|contradicts/],
    ['in which two files share a block', mapped, ['set_inode_field other block[0] BLOCK'], /shares block/],
  ])('%s is refused', async (name, options, commands, why) => {
    const image = make(name.replaceAll(' ', '-'), options);
    const reader = await createNodeHost().openRead(image);
    const volume = await openExt4(reader);
    const one = await volume.find('/boot/one');
    if (one === undefined) throw new Error('the fixture has no file');
    const [place] = await volume.placesOf(one);
    await reader.close();
    const block = String((place?.startByte ?? 0) / volume.blockBytes);
    if (commands.length > 0)
      debugfs(
        image,
        commands.map((command) => command.replace('BLOCK', block)),
      );
    await expect(rangesIn(image, { startByte: 0, endByte: 8 * kibibyte * kibibyte })).rejects.toThrow(why);
  });
});
