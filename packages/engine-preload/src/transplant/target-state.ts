// What a target holds that matters for what is put into it.
import { MigrateError } from '@migrate/core';
import { type Digest, digestOf, hexOf, isDigest } from '../root/digest.ts';
import { hasLayer, type Layer, readLayer } from '../root/layer-store.ts';
import { contentPath, type DataRoot, type Image } from '../root/read-data-root.ts';
import type { TargetState } from './plan-transplant.ts';

const configLimitBytes = 8 * 1024 * 1024;

/**
 * Reads of a target what planning needs for `images`. Throws `invalid-input` where it holds one of their layers or configurations
 * in a damaged state: nothing sound can be built on it, and replacing it might break a container that uses it.
 */
export async function readTargetState(root: DataRoot, images: readonly Image[]): Promise<TargetState> {
  const { files } = root;
  const layers = new Map<Digest, Layer>(root.layers);
  for (const image of images) {
    const below: Layer[] = [];
    for (const { chainId, diffId } of image.layers) {
      // A layer may be there without an image: an interrupted run, or an image whose configuration was removed.
      const present =
        layers.get(chainId) ??
        ((await hasLayer(files, chainId)) ? await readLayer(files, { chainId, diffId }, below) : undefined);
      if (present === undefined) break;
      layers.set(chainId, present);
      below.push(present);
    }
  }
  const stored = new Set((await files.list(contentPath)).map((name) => `sha256:${name}`).filter(isDigest));
  for (const { id } of images.filter((image) => stored.has(image.id))) {
    const bytes = await files.readFile(`${contentPath}/${hexOf(id)}`, configLimitBytes);
    if (bytes === undefined || digestOf(bytes) !== id)
      throw new MigrateError('invalid-input', `${files.label}: ${contentPath}/${hexOf(id)} has been changed`);
  }
  return {
    layers,
    imageIds: stored,
    repositories: root.repositories,
    cacheIds: new Set(await files.list('overlay2')),
    links: new Set(await files.list('overlay2/l')),
  };
}
