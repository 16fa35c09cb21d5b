// Images through a bundle: out of one data root, into others.
import { appendFile, cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import {
  archiveByTar,
  directorySource,
  extractBundle,
  openBundle,
  openSource,
  transplant,
  treeFiles,
  treeSource,
  verifyFiles,
} from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { directoryTree } from './directory-tree.ts';
import { withEngine } from './docker-engine.ts';
import { layerTrees, rootState } from './layer-trees.ts';
import { makeSmallRoots, type SmallRoots } from './small-roots.ts';
import { testImages } from './test-images.ts';

let roots: SmallRoots;
let bundle: string;
const host = createNodeHost();
const emit = (): void => {};

beforeAll(async () => {
  roots = await makeSmallRoots();
  bundle = join(roots.work, 'bundle');
  await extractBundle({ host, source: await directorySource(host, roots.source), out: bundle, emit });
});

afterAll(() => roots.remove());

async function putBundle(path: string, root: string) {
  return transplant({ host, source: await openSource(host, path), root, emit });
}

/** The bundle with one change. */
async function changedBundle(change: (directory: string) => Promise<unknown>): Promise<string> {
  const copy = join(roots.work, 'changed');
  await rm(copy, { recursive: true, force: true });
  await cp(bundle, copy, { recursive: true });
  await change(copy);
  return copy;
}

async function firstLayer(directory: string): Promise<string> {
  const name = (await readdir(join(directory, 'layers'))).find((one) => one.endsWith('.tar'));
  return join(directory, 'layers', name ?? 'none');
}

describe('a bundle', () => {
  test('is the same whenever it is made from the same images', async () => {
    const again = join(roots.work, 'again');
    const source = await directorySource(host, roots.source);
    await extractBundle({ host, source, out: again, emit });
    await execa('diff', ['--recursive', bundle, again]);
    await expect(extractBundle({ host, source, out: again, emit })).rejects.toThrow('exists');
  });

  test.each(['a directory', 'a tar file', 'a compressed tar file'])(
    'puts the same layers into a root from %s',
    async (form) => {
      const archive = join(roots.work, form === 'a tar file' ? 'bundle.tar' : 'bundle.tar.gz');
      const pack = ['--auto-compress', '-cf', archive, '-C', bundle, 'bundle.json', 'configs', 'layers'];
      if (form !== 'a directory') await execa('tar', pack);
      const target = await roots.copy('template', 'target');
      await putBundle(form === 'a directory' ? bundle : archive, target);
      const [there, here] = [await layerTrees(roots.source), await layerTrees(target)];
      for (const [chainId, tree] of there) expect(here.get(chainId), chainId).toBe(tree);
      expect(await putBundle(bundle, target)).toMatchObject({ newLayers: 0 });
    },
  );

  test('starts a root that has never seen an engine', async () => {
    const root = join(roots.work, 'fresh');
    await mkdir(root);
    await putBundle(bundle, root);
    await withEngine(root, async ({ docker }) => {
      for (const name of testImages) await docker('run', '--rm', '--network', 'none', name, '/bin/busybox', 'true');
      await docker('save', '--output', join(roots.work, 'saved.tar'), ...testImages);
    });
  });

  test('comes out of a bundle again', async () => {
    const again = join(roots.work, 'from-bundle');
    await extractBundle({ host, source: await openBundle(host, bundle), names: [testImages[1]], out: again, emit });
    const { images } = await openBundle(host, again);
    expect(images.map(({ references }) => references)).toEqual([[testImages[1]]]);
  });
});

test('images come out of a tree, as that of an image, as out of a directory', async () => {
  const { tree, writeTar } = directoryTree(roots.work);
  const source = await treeSource({ host, tree, directory: 'source', label: 'resin-data', writeTar });
  const { images } = await directorySource(host, roots.source);
  expect(source.images).toEqual(images);
  const target = await roots.copy('template', 'target');
  await transplant({ host, source, root: target, emit });
  const [there, here] = [await layerTrees(roots.source), await layerTrees(target)];
  for (const [chainId, hash] of there) expect(here.get(chainId), chainId).toBe(hash);
  const out = join(roots.work, 'from-tree');
  await extractBundle({ host, source, out, emit });
  const other = await roots.copy('template', 'target');
  await putBundle(out, other);
  expect(await layerTrees(other)).toEqual(here);
  const result = await verifyFiles(treeFiles(tree, 'source', 'resin-data'), archiveByTar(host, roots.source), emit);
  expect(result).toMatchObject({ isRight: true, damaged: [] });
});

describe('a bundle that is not right', () => {
  const damages: readonly (readonly [string, (directory: string) => Promise<unknown>, string])[] = [
    ['a cut layer', async (directory) => truncate(await firstLayer(directory), 1024), 'cut or changed'],
    ['a longer layer', async (directory) => appendFile(await firstLayer(directory), 'x'), 'cut or changed'],
    ['a missing layer', async (directory) => rm(await firstLayer(directory)), 'is missing'],
    [
      'a link in place of a layer',
      async (directory) => {
        const layer = await firstLayer(directory);
        await rm(layer);
        await execa('ln', ['-s', '/etc/passwd', layer]);
      },
      'is missing',
    ],
    [
      'an index that is no JSON',
      (directory) => writeFile(join(directory, 'bundle.json'), '{"kind":'),
      'not valid JSON',
    ],
    [
      'an index of a later version',
      (directory) => replaceIn(directory, '"version": 1', '"version": 2'),
      'newer version',
    ],
    [
      'an index with another diff id',
      (directory) => replaceIn(directory, /"diffId": "sha256:..../, '"diffId": "sha256:0000'),
      'diffId',
    ],
    [
      'an index with a place for a name',
      (directory) => replaceIn(directory, /"cacheId": "[^"]*"/, '"cacheId": "../../x"'),
      'cacheId',
    ],
    [
      'an index without a size',
      (directory) => replaceIn(directory, /"sizeBytes": \d+/, '"sizeBytes": -1'),
      'sizeBytes',
    ],
    [
      'a changed configuration',
      async (directory) => {
        const [name = ''] = await readdir(join(directory, 'configs'));
        await appendFile(join(directory, 'configs', name), ' ');
      },
      'has been changed',
    ],
  ];

  async function replaceIn(directory: string, what: string | RegExp, by: string): Promise<void> {
    const path = join(directory, 'bundle.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace(what, by));
  }

  test.each(damages)('is refused for %s, and the root stays as it was', async (_, damage, message) => {
    const target = await roots.copy('template', 'target');
    const before = await rootState(target);
    await expect(putBundle(await changedBundle(damage), target)).rejects.toThrow(message);
    expect(await rootState(target)).toBe(before);
  });

  test.each([
    ['a name outside', ['--transform', 's,^,../,'], 'escaped'],
    ['an absolute name', ['--absolute-names', '--transform', `s,^,/dev/shm/engine-escape/,`], 'escaped'],
  ])('writes nothing elsewhere for a layer with %s', async (_, transform, name) => {
    const hostile = await changedBundle(async (directory) => {
      await writeFile(join(roots.work, name), 'x');
      await execa('tar', ['-cf', await firstLayer(directory), '-C', roots.work, ...transform, name]);
      // As a forger would: the index agrees.
      const layer = await firstLayer(directory);
      const { stdout } = await execa('sha256sum', [layer]);
      const sum = stdout.slice(0, 64);
      const bytes = (await readFile(layer)).length;
      const index = JSON.parse(await readFile(join(directory, 'bundle.json'), 'utf8')) as {
        layers: { chainId: string; tar: unknown }[];
      };
      for (const one of index.layers) {
        if (layer.includes(one.chainId.slice(7))) one.tar = { bytes, sha256: `sha256:${sum}` };
      }
      await writeFile(join(directory, 'bundle.json'), JSON.stringify(index));
    });
    const target = await roots.copy('template', 'target');
    const outcome = await putBundle(hostile, target).then(
      () => 'done',
      () => 'refused',
    );
    expect(await readdir('/dev/shm')).not.toContain('engine-escape');
    const { stdout } = await execa('find', [target, '-name', name]);
    // Either refused whole, or kept inside of the layer's own directory.
    expect(outcome === 'refused' ? stdout : stdout.replace(/^.*\/overlay2\/[0-9a-f]{64}\/diff\/.*$/, '')).toBe('');
  });
});
