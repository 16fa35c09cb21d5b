// Our reader of ext2, ext3 and ext4 against the kernel's, on file systems that the kernel filled.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteReader, createNodeHost } from '@migrate/core';
import { openExt4 } from '@migrate/image-tools';
import { recordsOf, type TreeRecord } from '@migrate/image-tools/tree-records';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mountImage, unmountImage } from '../loop-device.ts';
import { makeFidelityTree } from './fidelity-tree.ts';
import { mountedRecords } from './mounted-records.ts';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'ext4-disk-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

const sizeKib = 64 * 1024;

const kinds: readonly (readonly [string, number, readonly string[]])[] = [
  ['ext4 as Debian 12 makes it', 4096, ['-t', 'ext4', '-b', '4096']],
  ['ext4 as balenaOS makes it, 1 KiB blocks', 1024, ['-t', 'ext4', '-b', '1024', '-i', '8192']],
  ['ext4 of 2 KiB blocks', 2048, ['-t', 'ext4', '-b', '2048']],
  ['ext4 without extents', 1024, ['-t', 'ext4', '-O', '^extent,^64bit', '-b', '1024']],
  ['ext4 of old tools', 4096, ['-t', 'ext4', '-O', '^metadata_csum,^64bit,uninit_bg', '-b', '4096', '-g', '4096']],
  ['ext3', 4096, ['-t', 'ext3', '-b', '4096']],
  ['ext2', 1024, ['-t', 'ext2', '-b', '1024']],
  ['no features, inodes of 128 bytes', 1024, ['-t', 'ext2', '-O', 'none', '-I', '128', '-b', '1024']],
  ['inline data', 4096, ['-t', 'ext4', '-O', 'inline_data', '-b', '4096', '-I', '256']],
  ['inline data in large inodes', 1024, ['-t', 'ext4', '-O', 'inline_data', '-b', '1024', '-I', '1024']],
  ['bigalloc', 4096, ['-t', 'ext4', '-O', 'bigalloc', '-C', '16384', '-b', '4096']],
  ['meta_bg', 1024, ['-t', 'ext4', '-O', 'meta_bg,^resize_inode', '-b', '1024', '-g', '512', '-N', '4096']],
  ['sparse_super2', 1024, ['-t', 'ext4', '-O', 'sparse_super2,^resize_inode', '-b', '1024']],
  [
    'new features',
    4096,
    ['-t', 'ext4', '-O', 'ea_inode,large_dir,metadata_csum_seed,orphan_file', '-b', '4096', '-I', '256'],
  ],
];

/** A whole file or block device of the machine. */
async function withReader<T>(path: string, action: (reader: ByteReader) => Promise<T>): Promise<T> {
  const reader = await createNodeHost().openRead(path);
  try {
    return await action(reader);
  } finally {
    await reader.close();
  }
}

async function whileMounted<T>(image: string, options: string, action: (root: string) => Promise<T>): Promise<T> {
  const root = join(work, 'mounted');
  await mkdir(root, { recursive: true });
  await mountImage(image, root, { options });
  try {
    return await action(root);
  } finally {
    await unmountImage(root);
  }
}

/** A file full of what an old system left, to which only the blocks in use are written. */
async function copyUsed(image: string, copy: string): Promise<number> {
  return withReader(image, async (reader) => {
    const target = await open(copy, 'w');
    const rubbish = randomBytes(2 ** 20);
    for (let position = 0; position < reader.sizeBytes; position += rubbish.length) {
      await target.write(rubbish, 0, Math.min(rubbish.length, reader.sizeBytes - position), position);
    }
    let copied = 0;
    const buffer = Buffer.alloc(2 ** 20);
    for (const { startByte, endByte } of await (await openExt4(reader)).usedRanges()) {
      for (let position = startByte; position < endByte; ) {
        const part = buffer.subarray(0, Math.min(buffer.length, endByte - position));
        expect(await reader.read(part, position)).toBe(part.length);
        await target.write(part, 0, part.length, position);
        position += part.length;
      }
      copied += endByte - startByte;
    }
    await target.close();
    return copied;
  });
}

describe.each(kinds)('%s', (name, blockBytes, options) => {
  const imageOf = (): string => join(work, `${name}.img`);
  let expected: readonly TreeRecord[];

  test('the tree is the one that the kernel shows', async () => {
    const image = imageOf();
    await execa('mke2fs', ['-q', '-F', ...options, image, `${sizeKib}k`]);
    const largestAttribute = options.some((option) => option.startsWith('ea_inode')) ? 20_000 : 700;
    await whileMounted(image, 'rw', (root) => makeFidelityTree(root, { blockBytes, largestAttribute }));
    expected = await whileMounted(image, 'ro', mountedRecords);
    expect(expected.length).toBeGreaterThan(1300);
    expect(await withReader(image, async (reader) => recordsOf(await openExt4(reader)))).toEqual(expected);
  });

  test('its used blocks make the same file system on a dirty disk', async () => {
    const [image, copy] = [imageOf(), join(work, 'copy.img')];
    const copied = await copyUsed(image, copy);
    expect(copied).toBeLessThan((sizeKib * 1024) / 2);
    await execa('e2fsck', ['-fn', copy]);
    expect(await whileMounted(copy, 'ro', mountedRecords)).toEqual(expected);
    await rm(copy);
    await rm(image);
  });
});
