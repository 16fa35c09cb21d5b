// Images with all that is hard to copy, built by a real engine without a network.
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Engine } from './docker-engine.ts';

export const testImages = ['app/one:1', 'app/two:2', 'registry.example.org:5000/app/three:3'] as const;

const mebibyte = 1024 * 1024;

/** Steps of each image above the imported base, which the first of them share. */
const dockerfiles: Readonly<Record<(typeof testImages)[number], readonly string[]>> = {
  'app/one:1': [
    'RUN mkdir /tree /gone && echo a >/tree/a && ln /tree/a /tree/hard && mknod /tree/null c 1 3 && mkfifo /tree/fifo',
    'RUN echo keep >/tree/keep && chown 1234:5678 /tree/keep && chmod 4751 /tree/keep && touch /tree/remove /gone/old',
    'RUN rm /tree/remove && rm -rf /gone && mkdir /gone && echo new >/gone/new',
    'CMD ["/bin/cat", "/gone/new"]',
  ],
  'app/two:2': [
    'RUN mkdir /tree /gone && echo a >/tree/a && ln /tree/a /tree/hard && mknod /tree/null c 1 3 && mkfifo /tree/fifo',
    'COPY two /data/two',
    'RUN truncate -s 50M /data/sparse && echo end >>/data/sparse',
    'CMD ["/bin/cat", "/tree/hard"]',
  ],
  'registry.example.org:5000/app/three:3': [
    'COPY two /data/two',
    'RUN rm /data/two/file3 && mv /data/two/file4 /data/moved && chmod 700 /data/two/file5',
    'CMD ["/bin/sh", "-c", "ls /data/two | wc -l"]',
  ],
};

/** Builds the three images, `sizeMib` of noise in all, one third in the base and two thirds in a layer that two of them share. */
export async function buildTestImages(engine: Engine, sizeMib: number): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'images-'));
  try {
    await importBase(engine, work, Math.ceil(sizeMib / 3));
    await mkdir(join(work, 'context'));
    await fillWithNoise(join(work, 'context/two'), Math.floor((sizeMib * 2) / 3));
    for (const [name, steps] of Object.entries(dockerfiles)) {
      await writeFile(join(work, 'context/Dockerfile'), ['FROM base:1', ...steps, ''].join('\n'));
      await engine.docker('build', '--quiet', '--network', 'none', '--tag', name, join(work, 'context'));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** busybox, a program with a capability, and noise, as an image of one layer. */
async function importBase(engine: Engine, work: string, sizeMib: number): Promise<void> {
  const root = join(work, 'root');
  await mkdir(join(root, 'bin'), { recursive: true });
  await copyFile('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of [
    'sh',
    'cat',
    'ls',
    'wc',
    'mkdir',
    'ln',
    'rm',
    'mknod',
    'mkfifo',
    'chown',
    'chmod',
    'touch',
    'truncate',
    'mv',
  ])
    await execa('ln', ['-s', 'busybox', join(root, 'bin', name)]);
  await copyFile('/bin/busybox', join(root, 'bin/raw'));
  await execa('setcap', ['cap_net_raw+ep', join(root, 'bin/raw')]);
  await writeFile(join(root, `long-${'n'.repeat(200)}`), 'a name that tar needs an extension for');
  await fillWithNoise(join(root, 'data/base'), sizeMib);
  const archive = join(work, 'base.tar');
  await execa('tar', [
    '--xattrs',
    '--xattrs-include=security.capability',
    '--format=posix',
    '-C',
    root,
    '-cf',
    archive,
    '.',
  ]);
  await engine.docker('import', archive, 'base:1');
}

/** Files of 1 KiB to 4 MiB: as in real images, most are small and most bytes are in large ones. */
async function fillWithNoise(directory: string, sizeMib: number): Promise<void> {
  await mkdir(directory, { recursive: true });
  let left = sizeMib * mebibyte;
  for (let index = 0; left > 0; index += 1) {
    const length = Math.min(left, index % 8 === 7 ? 4 * mebibyte : 1024 * (1 + (index % 64)));
    await writeFile(join(directory, `file${index}`), randomBytes(length));
    left -= length;
  }
}
