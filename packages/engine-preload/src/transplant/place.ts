// Gives the staged pieces their names in an order that never shows the engine half an image.
import type { Host } from '@migrate/core';
import { hexOf } from '../root/digest.ts';
import { cachePath, layerPath, linkPath, linkTarget } from '../root/layer-store.ts';
import { contentPath, metadataPath } from '../root/read-data-root.ts';
import { printRepositories, repositoriesPath } from '../root/repositories.ts';
import type { TransplantPlan } from './plan-transplant.ts';
import { staged } from './stage.ts';

/** Directories of a root that has never seen an engine, with the modes that one gives them; parents first. */
const skeleton: readonly (readonly [string, number])[] = [
  ['image', 0o700],
  ['image/overlay2', 0o700],
  ['image/overlay2/imagedb', 0o700],
  ['image/overlay2/imagedb/content', 0o700],
  [contentPath, 0o700],
  ['image/overlay2/imagedb/metadata', 0o700],
  [metadataPath, 0o700],
  ['image/overlay2/layerdb', 0o700],
  ['image/overlay2/layerdb/sha256', 0o755],
  ['overlay2', 0o710],
  ['overlay2/l', 0o700],
];

export async function missingDirectories(host: Host, root: string): Promise<readonly { path: string; mode: number }[]> {
  const missing: { path: string; mode: number }[] = [];
  for (const [path, mode] of skeleton) {
    if ((await host.linkStatus(`${root}/${path}`))?.kind !== 'directory') missing.push({ path, mode });
  }
  return missing;
}

/** Everything that placing makes, in its order, as paths below the root. */
export function placedPaths(plan: TransplantPlan): readonly string[] {
  return [
    ...plan.layers.flatMap(({ cacheId, link }) => [cachePath(cacheId), linkPath(link)]),
    ...plan.layers.map(({ source }) => layerPath(source.chainId)),
    ...plan.images.map(({ image }) => `${metadataPath}/${hexOf(image.id)}`),
    ...plan.images.map(({ image }) => `${contentPath}/${hexOf(image.id)}`),
  ];
}

/**
 * Layers, then images, then names, each durable before what points at it: an entry of the layer store whose files are missing is
 * an error to the engine, an image whose layers are missing too, and a name without an image as well.
 */
export async function placeAll({
  host,
  root,
  stage,
  plan,
}: {
  host: Host;
  root: string;
  stage: string;
  plan: TransplantPlan;
}): Promise<void> {
  await syncFileSystem(host, root);
  for (const layer of plan.layers) {
    await host.rename(staged.cache(stage, layer), `${root}/${cachePath(layer.cacheId)}`);
    await host.makeSymlink(linkTarget(layer.cacheId), `${root}/${linkPath(layer.link)}`);
  }
  await syncFileSystem(host, root);
  // Lowest first: a layer whose parent is missing is an error too.
  for (const layer of plan.layers) {
    await host.rename(staged.layer(stage, layer), `${root}/${layerPath(layer.source.chainId)}`);
  }
  await syncFileSystem(host, root);
  for (const image of plan.images) {
    await host.rename(staged.metadata(stage, image), `${root}/${metadataPath}/${hexOf(image.image.id)}`);
  }
  for (const image of plan.images) {
    await host.rename(staged.content(stage, image), `${root}/${contentPath}/${hexOf(image.image.id)}`);
  }
  await syncFileSystem(host, root);
  if (plan.repositories === undefined) return;
  await host.writeDurable(`${root}/${repositoriesPath}`, printRepositories(plan.repositories), { mode: 0o600 });
}

async function syncFileSystem(host: Host, path: string): Promise<void> {
  await host.run('sync', ['--file-system', '--', path], { timeoutMs: 3_600_000 });
}
