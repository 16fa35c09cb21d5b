// What a transplant refuses, what it asks, and what it works around.
import { chmod, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost, type Host } from '@migrate/core';
import { directoryFiles, readDataRoot } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mountImage, unmountImage } from '../loop-device.ts';
import { startEngine, withEngine } from './docker-engine.ts';
import { layerTrees, rootState } from './layer-trees.ts';
import { makeSmallRoots, putImages, type SmallRoots } from './small-roots.ts';
import { testImages } from './test-images.ts';

let roots: SmallRoots;
const host = createNodeHost();
const layerStore = 'image/overlay2/layerdb/sha256';
const contents = 'image/overlay2/imagedb/content/sha256';

beforeAll(async () => {
  roots = await makeSmallRoots();
});

afterAll(() => roots.remove());

/** Chain ids of the first test image in the source, lowest first, as names in the layer store. */
async function chain(): Promise<readonly string[]> {
  const { images } = await readDataRoot(directoryFiles(host, roots.source));
  const image = images.find(({ references }) => references.includes(testImages[0]));
  return (image?.layers ?? []).map(({ chainId }) => chainId.slice('sha256:'.length));
}

async function refusal(source: string, target: string, through: Host = host): Promise<unknown> {
  const before = await rootState(target);
  const outcome = await putImages(source, target, { host: through }).then(
    () => 'nothing was refused',
    (thrown: unknown) => thrown,
  );
  expect(await rootState(target)).toBe(before);
  expect(await readdir(target)).not.toContain('.migrate-inject');
  return outcome;
}

describe('a source root that is not right', () => {
  const damages: readonly (readonly [string, (root: string, names: readonly string[]) => Promise<unknown>, string])[] =
    [
      [
        'a missing layer',
        (root, [lowest = '']) => rm(join(root, layerStore, lowest), { recursive: true }),
        'is missing from the layer store',
      ],
      [
        'a layer without its size',
        (root, [lowest = '']) => rm(join(root, layerStore, lowest, 'size')),
        '"size" is missing',
      ],
      [
        'a layer without its tar-split',
        (root, [lowest = '']) => rm(join(root, layerStore, lowest, 'tar-split.json.gz')),
        'tar-split',
      ],
      [
        'a layer of another chain',
        (root, [lowest = '', second = '']) =>
          writeFile(
            join(root, layerStore, second, 'parent'),
            `sha256:${lowest.replace(/./, lowest.startsWith('f') ? '0' : 'f')}`,
          ),
        '"parent" should name',
      ],
      [
        'a layer of another content',
        (root, [lowest = '']) => writeFile(join(root, layerStore, lowest, 'diff'), 'sha256:0'),
        '"diff" does not name',
      ],
      [
        'a cache id that leads elsewhere',
        (root, [lowest = '']) => writeFile(join(root, layerStore, lowest, 'cache-id'), '../../../etc'),
        '"cache-id" does not hold',
      ],
      [
        'a layer whose files are missing',
        async (root, [lowest = '']) =>
          rm(join(root, 'overlay2', await readFile(join(root, layerStore, lowest, 'cache-id'), 'utf8')), {
            recursive: true,
          }),
        'its files are missing',
      ],
      [
        'a layer whose files are a link',
        async (root, [lowest = '']) => {
          const cache = join(root, 'overlay2', await readFile(join(root, layerStore, lowest, 'cache-id'), 'utf8'));
          await rm(join(cache, 'diff'), { recursive: true });
          await symlink('/etc', join(cache, 'diff'));
        },
        'its files are missing',
      ],
      [
        'a changed configuration',
        async (root) => {
          for (const name of await readdir(join(root, contents))) await writeFile(join(root, contents, name), '{}');
        },
        'has been changed',
      ],
      [
        'broken names',
        (root) => writeFile(join(root, 'image/overlay2/repositories.json'), '{"Repositories":{"a":{"a:1":"x"}}}'),
        'is no image id',
      ],
      [
        'another storage driver',
        (root) => rename(join(root, 'image/overlay2'), join(root, 'image/aufs')),
        'storage driver aufs',
      ],
      ["containerd's store", (root) => rm(join(root, 'image'), { recursive: true }), "containerd's image store"],
    ];

  test.each(damages)('is refused for %s', async (_, damage, message) => {
    const source = await roots.copy('source', 'damaged');
    await damage(source, await chain());
    expect(String(await refusal(source, await roots.copy('template', 'target')))).toContain(message);
  });
});

describe('a target', () => {
  test('is refused while an engine runs on it, also under another name', async () => {
    const target = await roots.copy('template', 'target');
    const other = join(roots.work, 'same');
    await mkdir(other);
    await execa('mount', ['--bind', target, other]);
    const engine = await startEngine(target);
    try {
      for (const name of [target, other])
        await expect(putImages(roots.source, name), name).rejects.toMatchObject({ code: 'busy' });
    } finally {
      await engine.stop();
      await execa('umount', [other]);
    }
    await putImages(roots.source, target);
  });

  test('is refused without root, and on a file system that folds case', async () => {
    const target = await roots.copy('template', 'target');
    const user: Host = { ...host, userId: 1000 };
    expect(await refusal(roots.source, target, user)).toMatchObject({ code: 'unsupported' });
    const folding: Host = {
      ...host,
      linkStatus: async (path) =>
        (await host.linkStatus(path)) ?? host.linkStatus(path.replace(/[^/]*$/, (name) => name.toLowerCase())),
    };
    expect(String(await refusal(roots.source, target, folding))).toContain('case-insensitive');
  });

  test('is refused without capabilities', async () => {
    const target = await roots.copy('template', 'target');
    const confined: Host = {
      ...host,
      readText: async (path) => (path === '/proc/self/status' ? 'CapEff:\t00000000a80425fb\n' : host.readText(path)),
    };
    expect(String(await refusal(roots.source, target, confined))).toContain('CAP_SYS_ADMIN');
  });

  test('that is too small is refused with the arithmetic, and left as it was where it fills up', async () => {
    const image = join(roots.work, 'small.ext4');
    const mountPoint = join(roots.work, 'small');
    await execa('truncate', ['-s', '24M', image]);
    await execa('mkfs.ext4', ['-q', '-m', '0', image]);
    await mkdir(mountPoint);
    await mountImage(image, mountPoint);
    try {
      await execa('cp', ['-a', roots.template, join(mountPoint, 'docker')]);
      const target = join(mountPoint, 'docker');
      expect(await refusal(roots.source, target)).toMatchObject({ code: 'no-space' });
      // As when something else fills the disk meanwhile: what was asked was right, what is written is not.
      await execa('fallocate', ['-l', '12M', join(mountPoint, 'filler')]);
      const hopeful: Host = { ...host, freeSpace: async () => ({ availableBytes: 2 ** 40, availableInodes: 2 ** 30 }) };
      expect(String(await refusal(roots.source, target, hopeful))).toContain('No space left on device');
    } finally {
      await unmountImage(mountPoint);
    }
  });

  test('whose names are taken is asked about: refuse, keep or move', async () => {
    const target = await roots.copy('template', 'target');
    const names = join(target, 'image/overlay2/repositories.json');
    const text = await readFile(names, 'utf8');
    const [, holder = ''] = /"(sha256:[0-9a-f]{64})"/.exec(text) ?? [];
    await writeFile(
      names,
      JSON.stringify({ Repositories: { other: { 'other:1': holder }, 'app/one': { [testImages[0]]: holder } } }),
    );
    expect(String(await refusal(roots.source, target))).toContain(testImages[0]);
    expect((await putImages(roots.source, target, { onTakenName: 'keep' })).takenNames).toHaveLength(1);
    expect(await readFile(names, 'utf8')).toContain(`"${testImages[0]}":"${holder}"`);
    await putImages(roots.source, target, { onTakenName: 'move' });
    const moved = await readFile(names, 'utf8');
    expect(moved).not.toContain(`"${testImages[0]}":"${holder}"`);
    expect(moved).toContain(`"other:1":"${holder}"`);
  });

  test('whose layer is damaged is refused rather than built upon', async () => {
    const target = await roots.copy('template', 'target');
    await putImages(roots.source, target);
    const [lowest = ''] = await chain();
    await rm(join(target, layerStore, lowest, 'size'));
    expect(String(await refusal(roots.source, target))).toContain('"size" is missing');
  });

  test('that has directories and links of the same names gets others, and its engine runs the images', async () => {
    const target = await roots.copy('template', 'target');
    const { layers } = await readDataRoot(directoryFiles(host, roots.source));
    for (const { cacheId, link } of layers.values()) {
      await mkdir(join(target, 'overlay2', cacheId));
      await chmod(join(target, 'overlay2', cacheId), 0o700);
      await symlink(`../${cacheId}/diff`, join(target, 'overlay2/l', link));
    }
    await putImages(roots.source, target);
    const [there, here] = [await layerTrees(roots.source), await layerTrees(target)];
    for (const [chainId, tree] of there) expect(here.get(chainId), chainId).toBe(tree);
    await withEngine(target, async ({ docker }) => {
      for (const name of testImages) await docker('run', '--rm', '--network', 'none', name, '/bin/busybox', 'true');
    });
  });

  test('is refused while another run works on it', async () => {
    const target = await roots.copy('template', 'target');
    let inner: unknown;
    const during: Host = {
      ...host,
      makeSymlink: async (to, path) => {
        inner ??= await putImages(roots.source, target).catch((thrown: unknown) => thrown);
        return host.makeSymlink(to, path);
      },
    };
    await putImages(roots.source, target, { host: during });
    expect(inner).toMatchObject({ code: 'locked' });
  });
});
