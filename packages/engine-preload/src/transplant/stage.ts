// Makes everything new under temporary names inside our own directory of the target; nothing of it is seen by an engine.
import type { Host } from '@migrate/core';
import { hexOf } from '../root/digest.ts';
import { tarSplitName } from '../root/layer-store.ts';
import { eachOf } from './each-of.ts';
import type { ImageSource } from './image-source.ts';
import type { NewImage, NewLayer, TransplantPlan } from './plan-transplant.ts';

/** More than two copies at once only make disks seek. */
const copiesAtOnce = 2;

/** Where the pieces of a layer or image lie until they are placed. Modes are those that the engine itself gives. */
export const staged = {
  cache: (stage: string, { cacheId }: NewLayer): string => `${stage}/cache-${cacheId}`,
  layer: (stage: string, { source }: NewLayer): string => `${stage}/layer-${hexOf(source.chainId)}`,
  metadata: (stage: string, { image }: NewImage): string => `${stage}/metadata-${hexOf(image.id)}`,
  content: (stage: string, { image }: NewImage): string => `${stage}/content-${hexOf(image.id)}`,
};

/** Fills the empty directory `stage`. Not durable: the file system is synced once, before anything gets its final name. */
export async function stageAll({
  host,
  source,
  plan,
  stage,
  onLayer,
}: {
  host: Host;
  source: ImageSource;
  plan: TransplantPlan;
  stage: string;
  /** Called after each layer. */
  onLayer: (layer: NewLayer) => void;
}): Promise<void> {
  const caches = plan.layers.map((layer) => staged.cache(stage, layer));
  const upper = plan.layers.filter(({ lower }) => lower !== '');
  await makeDirectories(host, 0o710, caches);
  await makeDirectories(host, 0o700, [
    ...upper.map((layer) => `${staged.cache(stage, layer)}/work`),
    ...plan.layers.map((layer) => staged.layer(stage, layer)),
    ...plan.images.map((image) => staged.metadata(stage, image)),
  ]);
  // The largest first, so that no copy is left to run alone at the end for long.
  const bySize = [...plan.layers].sort((one, other) => other.source.sizeBytes - one.source.sizeBytes);
  await eachOf(bySize, copiesAtOnce, async (layer) => {
    await stageLayer({ host, source, stage, layer });
    onLayer(layer);
  });
  for (const image of plan.images) await stageImage(host, stage, image);
}

async function stageLayer({
  host,
  source,
  stage,
  layer,
}: {
  host: Host;
  source: ImageSource;
  stage: string;
  layer: NewLayer;
}): Promise<void> {
  const cache = staged.cache(stage, layer);
  const entry = staged.layer(stage, layer);
  const { diffId, parent, sizeBytes } = layer.source;
  await source.placeLayer(layer.source, cache);
  await host.rename(`${cache}/${tarSplitName}`, `${entry}/${tarSplitName}`);
  await host.setAttributes(`${entry}/${tarSplitName}`, { mode: 0o644, uid: 0, gid: 0 });
  const text = (path: string, contents: string, mode = 0o644): Promise<void> =>
    host.writeNew(path, new TextEncoder().encode(contents), { mode });
  await text(`${cache}/link`, layer.link);
  if (layer.lower !== '') await text(`${cache}/lower`, layer.lower);
  // Without it a newer engine would mount the layer writable (moby, overlay2: committedFile).
  await text(`${cache}/committed`, '', 0o600);
  await text(`${entry}/diff`, diffId);
  await text(`${entry}/cache-id`, layer.cacheId);
  await text(`${entry}/size`, String(sizeBytes));
  if (parent !== undefined) await text(`${entry}/parent`, parent);
}

async function stageImage(host: Host, stage: string, planned: NewImage): Promise<void> {
  const { image, parent } = planned;
  const metadata = (name: string, contents: string): Promise<void> =>
    host.writeNew(`${staged.metadata(stage, planned)}/${name}`, new TextEncoder().encode(contents), { mode: 0o600 });
  await host.writeNew(staged.content(stage, planned), image.configBytes, { mode: 0o600 });
  if (parent !== undefined) await metadata('parent', parent);
  if (image.lastUpdated !== undefined) await metadata('lastUpdated', image.lastUpdated);
}

async function makeDirectories(host: Host, mode: number, paths: readonly string[]): Promise<void> {
  if (paths.length > 0) await host.run('mkdir', ['-m', mode.toString(8), '--', ...paths]);
}
