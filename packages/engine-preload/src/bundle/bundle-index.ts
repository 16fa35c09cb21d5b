// bundle.json: what a bundle holds. docs/bundle-format.md describes it; file names follow from ids and are not in it.
import { MigrateError } from '@migrate/core';
import { chainIds, type Digest, digestOf, hexOf, isDigest } from '../root/digest.ts';
import { parseImageConfig } from '../root/image-config.ts';
import { asArray, asCount, asObject, asString, type JsonObject, parseJson } from '../root/json-file.ts';
import { isCacheId, isLink, type Layer } from '../root/layer-store.ts';
import type { Image } from '../root/read-data-root.ts';
import type { SpaceNeed } from '../transplant/image-source.ts';
import type { FileSum } from './layer-tar.ts';

export const bundleKind = 'migrate-image-bundle';
export const bundleVersion = 1;
export const indexName = 'bundle.json';

export interface BundleLayer {
  readonly layer: Layer;
  /** What its files take on disk. */
  readonly space: SpaceNeed;
  readonly tar: FileSum;
  readonly tarSplit: FileSum;
}

export interface BundleIndex {
  readonly images: readonly Image[];
  readonly layers: ReadonlyMap<Digest, BundleLayer>;
}

export function configName(id: Digest): string {
  return `configs/${hexOf(id)}.json`;
}

export function tarName(chainId: Digest): string {
  return `layers/${hexOf(chainId)}.tar`;
}

export function tarSplitFileName(chainId: Digest): string {
  return `layers/${hexOf(chainId)}.tar-split.json.gz`;
}

export function printIndex({ images, layers }: BundleIndex): Uint8Array {
  const index = {
    kind: bundleKind,
    version: bundleVersion,
    images: images.map(({ id, references, parent, lastUpdated }) => ({ id, references, parent, lastUpdated })),
    layers: [...layers.values()].map(({ layer, space, tar, tarSplit }) => ({ ...layer, space, tar, tarSplit })),
  };
  return new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`);
}

/** Parses the index and joins it with the configurations, which `readConfig` gives. Throws `invalid-input` naming file and place. */
export async function parseIndex(
  bytes: Uint8Array,
  { where, readConfig }: { where: string; readConfig: (id: Digest) => Promise<Uint8Array> },
): Promise<BundleIndex> {
  const index = asObject(parseJson(bytes, where), where);
  if (index.get('kind') !== bundleKind) throw new MigrateError('invalid-input', `${where} is no index of a bundle`);
  if (index.get('version') !== bundleVersion) {
    throw new MigrateError('unsupported', `${where}: a newer version of this program wrote it`);
  }
  const layers = new Map<Digest, BundleLayer>();
  for (const [number, value] of asArray(index.get('layers'), `${where}: layers`).entries()) {
    const parsed = parseLayer(asObject(value, `${where}: layers[${number}]`), `${where}: layers[${number}]`);
    layers.set(parsed.layer.chainId, parsed);
  }
  const images: Image[] = [];
  for (const [number, value] of asArray(index.get('images'), `${where}: images`).entries()) {
    const place = `${where}: images[${number}]`;
    const object = asObject(value, place);
    const id = digestAt(object, 'id', place);
    const configBytes = await readConfig(id);
    if (digestOf(configBytes) !== id)
      throw new MigrateError('verify-mismatch', `${configName(id)} has been changed: its sha256 is not its name`);
    images.push(joinImage({ id, object, configBytes, layers, place }));
  }
  return { images, layers };
}

function joinImage({
  id,
  object,
  configBytes,
  layers,
  place,
}: {
  id: Digest;
  object: JsonObject;
  configBytes: Uint8Array;
  layers: ReadonlyMap<Digest, BundleLayer>;
  place: string;
}): Image {
  const config = parseImageConfig(configBytes, configName(id));
  const stack = chainIds(config.diffIds).map((chainId, position): Layer => {
    const layer = layers.get(chainId)?.layer;
    if (layer === undefined) throw new MigrateError('invalid-input', `${place}: its layer ${chainId} is missing`);
    if (layer.diffId !== config.diffIds[position])
      throw new MigrateError('invalid-input', `${place}: its layer ${chainId} has another diffId than the image says`);
    return layer;
  });
  for (const [position, layer] of stack.entries()) {
    if (layer.parent !== stack[position - 1]?.chainId)
      throw new MigrateError(
        'invalid-input',
        `${place}: its layer ${layer.chainId} has another parent than the image says`,
      );
  }
  const references = asArray(object.get('references'), `${place}: references`).map((reference) =>
    asString(reference, `${place}: references`),
  );
  const parent = object.get('parent');
  const lastUpdated = object.get('lastUpdated');
  return {
    id,
    configBytes,
    config,
    references,
    layers: stack,
    ...(isDigest(parent) ? { parent } : {}),
    ...(typeof lastUpdated === 'string' ? { lastUpdated } : {}),
  };
}

function parseLayer(object: JsonObject, place: string): BundleLayer {
  const parent = object.get('parent') === undefined ? undefined : digestAt(object, 'parent', place);
  const cacheId = asString(object.get('cacheId'), `${place}.cacheId`);
  const link = asString(object.get('link'), `${place}.link`);
  if (!isCacheId(cacheId) || !isLink(link))
    throw new MigrateError('invalid-input', `${place}: cacheId or link is not of the form that the engine uses`);
  const space = asObject(object.get('space'), `${place}.space`);
  return {
    layer: {
      chainId: digestAt(object, 'chainId', place),
      diffId: digestAt(object, 'diffId', place),
      ...(parent === undefined ? {} : { parent }),
      cacheId,
      link,
      sizeBytes: asCount(object.get('sizeBytes'), `${place}.sizeBytes`),
    },
    space: {
      bytes: asCount(space.get('bytes'), `${place}.space.bytes`),
      inodes: asCount(space.get('inodes'), `${place}.space.inodes`),
    },
    tar: sumAt(object, 'tar', place),
    tarSplit: sumAt(object, 'tarSplit', place),
  };
}

function sumAt(object: JsonObject, key: string, place: string): FileSum {
  const sum = asObject(object.get(key), `${place}.${key}`);
  return {
    bytes: asCount(sum.get('bytes'), `${place}.${key}.bytes`),
    sha256: digestAt(sum, 'sha256', `${place}.${key}`),
  };
}

function digestAt(object: JsonObject, key: string, place: string): Digest {
  const value = object.get(key);
  if (!isDigest(value)) throw new MigrateError('invalid-input', `${place}.${key} is no sha256 digest`);
  return value;
}
