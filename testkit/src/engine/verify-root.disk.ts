// Data roots that are right to the last byte, and ones that are not.
import { appendFile, chmod, lchown, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directoryFiles, type Layer, readDataRoot, verifyRoot } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withEngine } from './docker-engine.ts';
import { makeSmallRoots, putImages, type SmallRoots } from './small-roots.ts';
import { testImages } from './test-images.ts';

let roots: SmallRoots;
/** A root with all images put into it. */
let whole: string;
/** Layers of the first test image, lowest first: base, tree, keep, removals. */
let layers: readonly Layer[];
const host = createNodeHost();
const emit = (): void => {};

beforeAll(async () => {
  roots = await makeSmallRoots();
  whole = await roots.copy('template', 'whole');
  await putImages(roots.source, whole);
  const { images } = await readDataRoot(directoryFiles(host, whole));
  layers = images.find(({ references }) => references.includes(testImages[0]))?.layers ?? [];
});

afterAll(() => roots.remove());

function diff(root: string, index: number): string {
  return join(root, 'overlay2', layers[index]?.cacheId ?? 'none', 'diff');
}

function entry(root: string, index: number): string {
  return join(root, 'image/overlay2/layerdb/sha256', layers[index]?.chainId.slice('sha256:'.length) ?? 'none');
}

test('what an engine made, and what was put in, is right', async () => {
  for (const root of [roots.source, whole]) {
    const result = await verifyRoot(host, root, emit);
    expect(result.layers.flatMap(({ faults }) => faults)).toEqual([]);
    expect(result.isRight).toBe(true);
    expect(result.images.length).toBeGreaterThanOrEqual(3);
  }
});

describe('is not right with', () => {
  const damages: readonly (readonly [string, (root: string) => Promise<unknown>, string])[] = [
    [
      'one changed byte',
      async (root) => {
        const path = join(diff(root, 0), 'data/base/file0');
        const bytes = await readFile(path);
        bytes[10] = (bytes[10] ?? 0) ^ 1;
        await writeFile(path, bytes);
      },
      'have been changed',
    ],
    ['a longer file', (root) => appendFile(join(diff(root, 0), 'data/base/file1'), 'x'), 'bytes, not'],
    ['a missing file', (root) => rm(join(diff(root, 0), 'data/base/file2')), 'is missing'],
    ['a file too many', (root) => writeFile(join(diff(root, 0), 'data/stranger'), ''), 'does not belong'],
    ['another mode', (root) => chmod(join(diff(root, 2), 'tree/keep'), 0o755), 'has mode 755, not 4751'],
    ['another owner', (root) => lchown(join(diff(root, 1), 'tree/a'), 7, 7), 'belongs to user 7, not 0'],
    [
      'a device that is a file',
      async (root) => {
        await rm(join(diff(root, 1), 'tree/null'));
        await writeFile(join(diff(root, 1), 'tree/null'), '');
      },
      'not a character-device',
    ],
    [
      'a hard link that became another file',
      async (root) => {
        await rm(join(diff(root, 1), 'tree/hard'));
        await writeFile(join(diff(root, 1), 'tree/hard'), 'b\n');
      },
      'is no longer a hard link',
    ],
    ['a lost whiteout', (root) => rm(join(diff(root, 3), 'tree/remove')), 'should be a whiteout'],
    [
      'a directory that is no longer opaque',
      async (root) => {
        const directory = join(diff(root, 3), 'gone');
        const keep = '--preserve=mode,ownership,timestamps,links';
        await execa('cp', ['-R', '--no-dereference', keep, directory, `${directory}-copy`]);
        await rm(directory, { recursive: true });
        await rename(`${directory}-copy`, directory);
      },
      'trusted.overlay.opaque',
    ],
    [
      'a lost capability',
      (root) => execa('setcap', ['-r', join(diff(root, 0), 'bin/raw')]),
      'has lost the attribute security.capability',
    ],
    [
      'more capabilities',
      (root) => execa('setcap', ['cap_net_raw,cap_sys_admin+ep', join(diff(root, 0), 'bin/raw')]),
      'has another value in the attribute security.capability',
    ],
    ['a cut tar-split', (root) => truncate(join(entry(root, 0), 'tar-split.json.gz'), 200), 'no complete gzip'],
    [
      'a symlink in place of a directory',
      async (root) => {
        await rename(join(diff(root, 0), 'data'), join(root, 'moved'));
        await execa('ln', ['-s', join(root, 'moved'), join(diff(root, 0), 'data')]);
      },
      'data',
    ],
  ];

  test.each(damages)('%s', async (_, damage, message) => {
    const root = join(roots.work, 'damaged');
    await rm(root, { recursive: true, force: true });
    await execa('cp', ['-a', whole, root]);
    await damage(root);
    const result = await verifyRoot(host, root, emit);
    expect(result.isRight).toBe(false);
    expect(result.layers.flatMap(({ faults }) => faults).join('\n')).toContain(message);
    expect(result.images.some(({ isRight }) => !isRight)).toBe(true);
  });

  test('a layer whose lower names others', async () => {
    const root = join(roots.work, 'damaged');
    await rm(root, { recursive: true, force: true });
    await execa('cp', ['-a', whole, root]);
    await writeFile(join(diff(root, 1), '../lower'), 'l/AAAAAAAAAAAAAAAAAAAAAAAAAA');
    const result = await verifyRoot(host, root, emit);
    expect(result.isRight).toBe(false);
    expect(result.damaged.map(({ fault }) => fault).join()).toContain('lower does not list');
  });
});

describe('names that are not UTF-8', () => {
  const strange = Buffer.from('caf\xe9 \xff', 'latin1');
  let root: string;
  let directory: Buffer;

  beforeAll(async () => {
    const tree = join(roots.work, 'strange-tree');
    root = join(roots.work, 'strange');
    await mkdir(tree);
    await writeFile(Buffer.concat([Buffer.from(`${tree}/`), strange]), 'contents', { mode: 0o640 });
    await symlink(strange, Buffer.concat([Buffer.from(`${tree}/l`), strange]));
    await writeFile(join(tree, 'noted'), '');
    await execa('setfattr', ['-n', 'user.note', '-v', 'a = b\n', join(tree, 'noted')]);
    const form = ['--format=posix', '--xattrs', '--xattrs-include=user.*'];
    await execa('tar', [...form, '-C', tree, '-cf', `${tree}.tar`, '.']);
    await withEngine(root, (engine) => engine.docker('import', `${tree}.tar`, 'strange:1'));
    const { layers: all } = await readDataRoot(directoryFiles(host, root));
    const [layer] = all.values();
    directory = Buffer.from(join(root, 'overlay2', layer?.cacheId ?? '', 'diff/'));
  });

  async function faults(): Promise<string> {
    return (await verifyRoot(host, root, emit)).layers.flatMap((layer) => layer.faults).join('\n');
  }

  test('are checked as all others, and attributes of users too', async () => {
    expect(await faults()).toBe('');
    const path = Buffer.concat([directory, strange]);
    await writeFile(path, 'CONTENTS');
    expect(await faults()).toContain('have been changed');
    await writeFile(path, 'contents, and more');
    expect(await faults()).toContain('has 18 bytes, not 8');
    await rm(path);
    expect(await faults()).toContain('is missing');
    await writeFile(path, 'contents', { mode: 0o600 });
    expect(await faults()).toContain('has mode 600, not 640');
    await chmod(path, 0o640);
    expect(await faults()).toBe('');
    await execa('setfattr', ['-n', 'user.note', '-v', 'another', join(directory.toString(), 'noted')]);
    expect(await faults()).toContain('"noted" has another value in the attribute user.note');
  });
});
