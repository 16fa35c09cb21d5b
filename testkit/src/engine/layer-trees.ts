// What lies in a data root, as text that tests compare.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directoryFiles, readDataRoot } from '@migrate/engine-preload';
import { execa } from 'execa';

/** A hash of everything in each layer's directory (names, kinds, owners, modes, times, links, attributes, contents) by chain id. */
export async function layerTrees(root: string): Promise<ReadonlyMap<string, string>> {
  const { layers, damaged } = await readDataRoot(directoryFiles(createNodeHost(), root));
  if (damaged.length > 0) throw new Error(damaged.map(({ fault }) => fault).join('\n'));
  const trees = new Map<string, string>();
  for (const { chainId, cacheId } of layers.values())
    trees.set(chainId, await treeHash(join(root, 'overlay2', cacheId, 'diff')));
  return trees;
}

/** The hash of a directory, its own name and time apart. */
export async function treeHash(directory: string): Promise<string> {
  const order = ['--sort=name', '--numeric-owner', '--format=posix', '--pax-option=delete=atime,delete=ctime'];
  const attributes = ['--xattrs', '--xattrs-include=*', '--acls', '--sparse'];
  const tar = ['tar', ...order, ...attributes, '-C', directory, '-cf', '-', '.'];
  const { stdout } = await execa('bash', ['-o', 'pipefail', '-c', '"$@" | sha256sum', 'bash', ...tar]);
  return stdout;
}

/** All files of the image and layer stores and all names of overlay2: what a failed or refused run must not change. */
export async function rootState(root: string): Promise<string> {
  const { stdout } = await execa('find', [root, '-mindepth', '1', '-type', 'f', '-o', '-type', 'l'], {
    maxBuffer: 2 ** 28,
  });
  const lines = stdout.split('\n').sort();
  const stores: string[] = [];
  for (const path of lines.filter((line) => /\/(image\/|(link|lower)$)/.test(line.slice(root.length))))
    stores.push(`${path} ${(await readFile(path)).toString('base64')}`);
  return [...lines, ...stores].join('\n');
}
