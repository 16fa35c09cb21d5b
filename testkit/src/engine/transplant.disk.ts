// Images copied between the data roots of a real engine, which then lists, runs, saves, builds upon and removes them.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directorySource, transplant } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mountImage } from '../loop-device.ts';
import { type Engine, withEngine } from './docker-engine.ts';
import { layerTrees, rootState } from './layer-trees.ts';
import { buildTestImages, testImages } from './test-images.ts';

let work: string;
let sourceRoot: string;
/** A data root on an ext4 of its own, as resin-data's is, which holds one image already. */
let targetRoot: string;
let mountPoint: string;
const host = createNodeHost();
const emit = (): void => {};

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'transplant-'));
  sourceRoot = join(work, 'source');
  mountPoint = join(work, 'resin-data');
  targetRoot = join(mountPoint, 'docker');
  await withEngine(sourceRoot, (engine) => buildTestImages(engine, 300));
  await execa('truncate', ['-s', '2G', join(work, 'resin-data.ext4')]);
  await execa('mkfs.ext4', ['-q', '-L', 'resin-data', join(work, 'resin-data.ext4')]);
  await mkdir(mountPoint);
  await mountImage(join(work, 'resin-data.ext4'), mountPoint);
  await withEngine(targetRoot, buildSupervisor);
});

afterAll(async () => {
  await execa('umount', [mountPoint], { reject: false });
  await rm(work, { recursive: true, force: true });
});

/** An image that has nothing to do with the others, as the supervisor on a fresh balenaOS. */
async function buildSupervisor(engine: Engine): Promise<void> {
  const context = join(work, 'supervisor');
  await mkdir(context);
  await execa('cp', ['/bin/busybox', context]);
  await writeFile(
    join(context, 'Dockerfile'),
    'FROM scratch\nCOPY busybox /bin/sh\nRUN echo here >/supervisor\nCMD ["/bin/sh", "-c", "echo supervisor"]\n',
  );
  await engine.docker('build', '--quiet', '--network', 'none', '--tag', 'supervisor:14', context);
}

async function run(names: readonly string[] = testImages) {
  const source = await directorySource(host, sourceRoot);
  return transplant({ host, source, names, root: targetRoot, emit });
}

async function savedAll(engine: Engine): Promise<readonly unknown[]> {
  const all: unknown[] = [];
  for (const name of testImages) all.push(await saved(engine, name));
  return all;
}

/** Contents of `docker save`: digests of configurations and layers by their names in the manifest. */
async function saved(engine: Engine, name: string): Promise<unknown> {
  const directory = await mkdtemp(join(work, 'saved-'));
  await engine.docker('save', '--output', join(directory, 'saved.tar'), name);
  await execa('tar', ['-xf', join(directory, 'saved.tar'), '-C', directory]);
  const [manifest] = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as {
    Config: string;
    Layers: string[];
    RepoTags: string[];
  }[];
  if (manifest === undefined) throw new Error(`${name} has no manifest`);
  const { stdout } = await execa('sha256sum', [manifest.Config, ...manifest.Layers], { cwd: directory });
  await rm(directory, { recursive: true });
  return { tags: manifest.RepoTags, sums: stdout.split('\n') };
}

describe('images in another engine', () => {
  test('are copied once, shared layers once, and a second run changes nothing', async () => {
    const result = await run();
    expect(result.images.map(({ wasPresent }) => wasPresent)).toEqual([false, false, false]);
    expect(result).toMatchObject({ reusedLayers: 0, takenNames: [] });
    const before = await rootState(targetRoot);
    expect(await run()).toMatchObject({ newLayers: 0, newBytes: 0, reusedLayers: result.newLayers });
    expect(await rootState(targetRoot)).toBe(before);
    expect(await readdir(targetRoot)).not.toContain('.migrate-inject');
  });

  test('are the same to the last attribute', async () => {
    const [there, here] = [await layerTrees(sourceRoot), await layerTrees(targetRoot)];
    const supervisorLayers = 2;
    for (const [chainId, tree] of here) if (there.has(chainId)) expect(tree, chainId).toBe(there.get(chainId));
    expect([...here.keys()].filter((chainId) => !there.has(chainId))).toHaveLength(supervisorLayers);
  });

  test('are listed, inspected, run, saved, built upon and removed', async () => {
    const original = await withEngine(sourceRoot, async (engine) => ({
      inspected: JSON.parse(await engine.docker('inspect', ...testImages)) as Record<string, unknown>[],
      saved: await savedAll(engine),
    }));
    await withEngine(targetRoot, async (engine) => {
      const listed = (await engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}')).split('\n').sort();
      expect(listed).toEqual([...testImages, 'supervisor:14'].sort());
      const inspected = JSON.parse(await engine.docker('inspect', ...testImages)) as Record<string, unknown>[];
      // GraphDriver names directories, Parent an image that was not taken along.
      const comparable = ({ GraphDriver, Parent, ...rest }: Record<string, unknown>): unknown => rest;
      expect(inspected.map(comparable)).toEqual(original.inspected.map(comparable));
      const said: string[] = [];
      for (const name of [...testImages, 'supervisor:14'])
        said.push(await engine.docker('run', '--rm', '--network', 'none', name));
      expect(said.slice(0, 2)).toEqual(['new', 'a']);
      expect(said[3]).toBe('supervisor');
      expect(await savedAll(engine)).toEqual(original.saved);
      const context = await mkdtemp(join(work, 'above-'));
      await writeFile(join(context, 'Dockerfile'), `FROM ${testImages[0]}\nRUN rm /tree/a && echo more >/more\n`);
      await engine.docker('build', '--quiet', '--network', 'none', '--tag', 'above:1', context);
      expect(
        await engine.docker('run', '--rm', '--network', 'none', 'above:1', '/bin/cat', '/more', '/tree/hard'),
      ).toBe('more\na');
      await engine.docker('rmi', 'above:1', ...testImages);
      expect(await engine.docker('images', '--all', '--format', '{{.Repository}}:{{.Tag}}')).not.toContain('app/');
      expect(await engine.docker('run', '--rm', '--network', 'none', 'supervisor:14')).toBe('supervisor');
    });
    expect((await run()).images.map(({ wasPresent }) => wasPresent)).toEqual([false, false, false]);
  });
});
