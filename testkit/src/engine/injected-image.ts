// Images of balenaOS's shape that tests put containers into, and what then lies in them.
import { mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directoryFiles, readDataRoot } from '@migrate/engine-preload';
import { execa } from 'execa';
import { expect } from 'vitest';
import { mountImage, unmountImage } from '../loop-device.ts';

/** Id of the user who is called nobody. */
export const nobody = 65534;

const layouts = {
  mbr: 'label: dos\nstart=2048, size=40960, type=c\nstart=43008, size=20480, type=83\nstart=63488, type=5\nstart=65536, type=83\n',
  gpt: 'label: gpt\nstart=2048, size=40960, name=resin-boot\nstart=43008, name=resin-data\n',
} as const;

/** An image with a resin-data of this size that holds an empty data root, in a new directory of nobody's in `work`. */
export async function makeImage(work: string, layout: keyof typeof layouts, dataMib: number): Promise<string> {
  const directory = await mkdtemp(join(work, `${layout}-`));
  const image = join(directory, 'balena.img');
  await execa('truncate', ['-s', `${dataMib + 32}M`, image]);
  await execa('sfdisk', ['--quiet', image], { input: layouts[layout] });
  const { start, size } = await dataPartition(image);
  await execa('mkfs.vfat', ['-n', 'resin-boot', '--offset', '2048', image, '20480']);
  await mkdir(join(directory, 'tree/docker'), { recursive: true });
  await writeFile(join(directory, 'tree/apps.json'), '{}');
  const options = ['-q', '-F', '-t', 'ext4', '-L', 'resin-data', '-d', join(directory, 'tree')];
  await execa('mke2fs', [...options, '-E', `offset=${start * 512}`, image, `${Math.floor(size / 2)}K`]);
  await rm(join(directory, 'tree'), { recursive: true });
  await execa('chown', ['-R', `${nobody}:${nobody}`, directory]);
  return image;
}

/** The last partition, in sectors. */
export async function dataPartition(image: string): Promise<{ start: number; size: number }> {
  const { stdout } = await execa('sfdisk', ['--json', image]);
  const { partitions } = (JSON.parse(stdout) as { partitiontable: { partitions: { start: number; size: number }[] } })
    .partitiontable;
  const last = partitions.at(-1);
  if (last === undefined) throw new Error('no partition');
  return last;
}

/** Runs `action` with resin-data mounted. */
export async function withData(image: string, action: (mountPoint: string) => Promise<void>): Promise<void> {
  const { start } = await dataPartition(image);
  await execa('e2fsck', ['-f', '-n', `${image}?offset=${start * 512}`]);
  const mountPoint = await mkdtemp(join(tmpdir(), 'resin-data-'));
  await mountImage(image, mountPoint, { offsetBytes: start * 512 });
  try {
    await action(mountPoint);
  } finally {
    await unmountImage(mountPoint);
    await rmdir(mountPoint);
  }
}

/**
 * Names, kinds, modes, owners, times, links, attributes and contents of each layer. Holes are not compared: debugfs makes them
 * wherever there are zeros.
 */
export async function layerListings(root: string): Promise<ReadonlyMap<string, string>> {
  const { layers, damaged } = await readDataRoot(directoryFiles(createNodeHost(), root));
  expect(damaged).toEqual([]);
  const script = [
    'find . ! -type d -printf "%p %y %m %U:%G %s %T@ %n %l\\n" | sort',
    'find . -type d -printf "%p %m %U:%G %T@\\n" | sort',
    'find . -print0 | sort -z | xargs -0 getfattr --no-dereference --dump --match=- --encoding=hex',
    'find . -type f -print0 | sort -z | xargs -0 -r sha256sum',
  ].join('; ');
  const listings = new Map<string, string>();
  for (const { chainId, cacheId } of layers.values()) {
    const cwd = join(root, 'overlay2', cacheId, 'diff');
    listings.set(chainId, (await execa('bash', ['-e', '-o', 'pipefail', '-c', script], { cwd })).stdout);
  }
  return listings;
}

/** Bundles the inject command into `directory` and returns its path. */
export async function buildInject(directory: string): Promise<string> {
  const repository = join(import.meta.dirname, '../../..');
  await execa('tsup', ['--out-dir', directory], {
    cwd: join(repository, 'packages/cli-inject'),
    preferLocal: true,
    localDir: repository,
  });
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
  return join(directory, 'inject.js');
}
