// A layer of what is hard to write into an image file: many ranges, many names, large holes. All by debugfs; the kernel reads it.
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { memberWriter } from '@migrate/engine-preload';
import { readTar } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountImage, unmountImage } from '../loop-device.ts';

let work: string;
const host = createNodeHost();
const blockSizes = [1024, 4096] as const;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'image-members-'));
  const tree = join(work, 'tree');
  await mkdir(join(tree, 'many'), { recursive: true });
  for (let index = 0; index < 1500; index += 1)
    await writeFile(join(tree, 'many', `file ${index}`), 'x'.repeat((index * 37) % 9000));
  await symlink('y'.repeat(200), join(tree, 'long-link'));
  // Data in every third block, some of it over the edge of one; more extents than an inode holds, more than one block of them.
  const scattered = await open(join(tree, 'scattered'), 'w');
  for (let index = 0; index < 1200; index += 1)
    await scattered.write(`piece ${index}`, index * 12_288 + (index % 5) * 1000);
  await scattered.close();
  const large = await open(join(tree, 'large'), 'w');
  await large.write('here', 6_000_000_123);
  await large.close();
  await writeFile(join(tree, 'full'), Buffer.alloc(9_000_001, 'noise '));
});

afterAll(() => rm(work, { recursive: true, force: true }));

test.each(blockSizes)('all arrives in a file system with blocks of %s bytes', async (blockBytes) => {
  const image = join(work, `${blockBytes}.img`);
  const offsetBytes = 1024 * 1024;
  await execa('truncate', ['-s', '97M', image]);
  await execa('mke2fs', [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-b',
    String(blockBytes),
    '-E',
    `offset=${offsetBytes}`,
    image,
    '96M',
  ]);
  const archive = join(work, 'tree.tar');
  await execa('tar', [
    '--create',
    '--file',
    archive,
    '--format=posix',
    '--sparse',
    '--sort=name',
    '-C',
    join(work, 'tree'),
    '.',
  ]);
  const writer = memberWriter({ host, file: { path: image, offsetBytes }, blockBytes, scratch: join(work, 'scratch') });
  await writer.add({ base: '/tree', before: ['mkdir /tree'], members: () => readTar(createReadStream(archive)) });
  await writer.finish();
  await execa('e2fsck', ['-f', '-n', `${image}?offset=${offsetBytes}`]);
  const mountPoint = join(work, 'mount');
  await mkdir(mountPoint, { recursive: true });
  await mountImage(image, mountPoint, { offsetBytes, options: 'ro' });
  try {
    const { stdout } = await execa(
      'diff',
      ['--recursive', '--no-dereference', '--exclude=large', join(work, 'tree'), join(mountPoint, 'tree')],
      {
        reject: false,
      },
    );
    expect(stdout).toBe('');
    const large = await open(join(mountPoint, 'tree/large'));
    const { buffer } = await large.read({ position: 6_000_000_119 });
    expect(buffer.toString('latin1', 0, 9)).toBe('\0\0\0\0here\0');
    expect((await large.stat()).size).toBe(6_000_000_127);
    await large.close();
    const sizes = await execa('du', [
      '--block-size=1K',
      join(mountPoint, 'tree/large'),
      join(mountPoint, 'tree/scattered'),
    ]);
    const [largeKib, scatteredKib] = sizes.stdout.split('\n').map((line) => Number(line.split('\t')[0]));
    expect(largeKib).toBeLessThanOrEqual(8);
    expect(scatteredKib).toBeLessThan(1200 * 8 + 400);
  } finally {
    await unmountImage(mountPoint);
  }
});
