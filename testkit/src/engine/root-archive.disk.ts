// Archives of a data root as sources: all that they hold arrives, and what is wrong with them is refused.
import { mkdir, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { extractBundle, transplant, withSource } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { layerTrees, rootState } from './layer-trees.ts';
import { makeSmallRoots, type SmallRoots } from './small-roots.ts';

let roots: SmallRoots;
/** Of the source. */
let trees: ReadonlyMap<string, string>;
const host = createNodeHost();
const emit = (): void => {};
const faithful = ['--xattrs', '--xattrs-include=*', '--numeric-owner'];

beforeAll(async () => {
  roots = await makeSmallRoots();
  trees = await layerTrees(roots.source);
});

afterAll(() => roots.remove());

function tar(archive: string, ...argv: readonly string[]) {
  return execa('tar', ['--create', '--file', join(roots.work, archive), ...argv]);
}

/** Puts all of an archive into a copy of the template; the scratch directory is gone afterwards. */
async function put(archive: string): Promise<string> {
  const root = await roots.copy('template', 'target');
  await putInto(archive, root);
  return root;
}

async function putInto(archive: string, root: string): Promise<void> {
  const path = join(roots.work, archive);
  const scratch = `${path}.unpacked`;
  try {
    await withSource(host, { path, scratch }, (source) => transplant({ host, source, root, emit }));
  } finally {
    expect(await readdir(roots.work)).not.toContain(`${archive}.unpacked`);
  }
}

describe('an archive of a data root', () => {
  test.each([
    ['the root itself', 'plain.tar', () => ['-C', roots.source, '.']],
    ['two directories of it, compressed', 'two.tar.gz', () => ['--gzip', '-C', roots.source, 'image', 'overlay2']],
    [
      'a whole system',
      'system.tar.zst',
      () => ['--zstd', '-C', '/', '--transform', 's,^[^ ]*/source,var/lib/docker,S', roots.source.slice(1)],
    ],
  ])('is read as the root: %s', async (_name, archive, argv) => {
    await tar(archive, ...faithful, ...argv());
    const here = await layerTrees(await put(archive));
    for (const [chainId, tree] of trees) expect(here.get(chainId), chainId).toBe(tree);
    await rm(join(roots.work, archive));
  });

  test('makes the same bundle as the root', async () => {
    await tar('bundled.tar', ...faithful, '-C', roots.source, 'image', 'overlay2');
    const sums: string[] = [];
    for (const path of [roots.source, join(roots.work, 'bundled.tar')]) {
      const out = join(roots.work, 'bundle');
      await withSource(host, { path, scratch: `${out}.unpacked` }, (source) =>
        extractBundle({ host, source, out, emit }),
      );
      const { stdout } = await execa('bash', ['-c', 'sha256sum configs/* layers/* | sort'], { cwd: out });
      sums.push(stdout);
      await rm(out, { recursive: true });
    }
    expect(sums[1]).toBe(sums[0]);
  });

  const refused: readonly (readonly [string, () => Promise<unknown>, RegExp])[] = [
    [
      'no attributes',
      () => tar('bad.tar', '-C', roots.source, 'image', 'overlay2'),
      /has lost the attribute.*make it as root/,
    ],
    [
      'names above it',
      () =>
        tar('bad.tar', ...faithful, '-C', roots.source, '--transform', 's,^image,../image,', '-P', 'image', 'overlay2'),
      /leads out of the archive/,
    ],
    ['absolute names', () => tar('bad.tar', '-P', ...faithful, `${roots.source}/image`), /leads out of the archive/],
    [
      'its end missing',
      async () => {
        await tar('bad.tar', ...faithful, '-C', roots.source, 'image', 'overlay2');
        await truncate(join(roots.work, 'bad.tar'), Math.floor((await stat(join(roots.work, 'bad.tar'))).size / 2));
      },
      /no whole tar archive/,
    ],
    [
      'something else in it',
      () => tar('bad.tar', '-C', roots.source, 'overlay2'),
      /neither a bundle nor an archive of a data root/,
    ],
    ['noise in it', () => writeFile(join(roots.work, 'bad.tar'), 'x'.repeat(5000)), /no whole tar archive/],
    [
      'a symlink that leads out',
      async () => {
        const [tree, outside] = [join(roots.work, 'hostile'), join(roots.work, 'outside')];
        await mkdir(tree, { recursive: true });
        await mkdir(outside, { recursive: true });
        await symlink(outside, join(tree, 'image'));
        await tar('bad.tar', '-C', tree, 'image');
        await rm(tree, { recursive: true });
        await mkdir(join(tree, 'image/overlay2/imagedb'), { recursive: true });
        await writeFile(join(tree, 'image/overlay2/repositories.json'), '{}');
        await mkdir(join(tree, 'overlay2'));
        await execa('tar', ['--append', '--file', join(roots.work, 'bad.tar'), '-C', tree, 'image', 'overlay2']);
        await rm(tree, { recursive: true });
      },
      /is a link where an engine makes none/,
    ],
  ];

  test.each(refused)('is refused with %s, and the target stays as it was', async (_name, make, message) => {
    await make();
    const root = await roots.copy('template', 'target');
    const before = await rootState(root);
    await expect(putInto('bad.tar', root)).rejects.toThrow(message);
    expect(await rootState(root)).toBe(before);
    if ((await readdir(roots.work)).includes('outside')) expect(await readdir(join(roots.work, 'outside'))).toEqual([]);
    await rm(join(roots.work, 'bad.tar'));
  });
});
