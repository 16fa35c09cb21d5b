// One layer of a data root: its entry in the layer store (moby, layer/filestore.go) and its directory of overlay2
// (moby, daemon/graphdriver/overlay2/overlay.go).
import { MigrateError } from '@migrate/core';
import { type Digest, hexOf } from './digest.ts';
import type { RootFiles } from './root-files.ts';

export interface Layer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** Chain id of the layer below; undefined for the lowest. */
  readonly parent?: Digest;
  /** Name of its directory below overlay2/. */
  readonly cacheId: string;
  /** Its short name below overlay2/l/. */
  readonly link: string;
  /** Sum of its files' sizes, as the engine has recorded it. */
  readonly sizeBytes: number;
}

export const tarSplitName = 'tar-split.json.gz';
const smallFileBytes = 64 * 1024;

export function layerPath(chainId: Digest): string {
  return `image/overlay2/layerdb/sha256/${hexOf(chainId)}`;
}

export function cachePath(cacheId: string): string {
  return `overlay2/${cacheId}`;
}

export function linkPath(link: string): string {
  return `overlay2/l/${link}`;
}

export function isCacheId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export function isLink(text: string): boolean {
  return /^[A-Z0-9]{26}$/.test(text);
}

/** Target of the symlink overlay2/l/<link>. */
export function linkTarget(cacheId: string): string {
  return `../${cacheId}/diff`;
}

/** Contents of a layer's `lower`: the links of the layers below it, the nearest first. */
export function lowerText(linksBelow: readonly string[]): string {
  return linksBelow.map((link) => `l/${link}`).join(':');
}

/** Whether the layer store has an entry of this name, whole or not. */
export async function hasLayer(files: RootFiles, chainId: Digest): Promise<boolean> {
  return (await files.status(layerPath(chainId))) !== undefined;
}

/**
 * Reads and checks a layer above `below` (lowest first). Throws `not-found` where the layer is missing and `invalid-input` where
 * one of its files is missing or contradicts the others.
 */
export async function readLayer(
  files: RootFiles,
  { chainId, diffId }: { chainId: Digest; diffId: Digest },
  below: readonly Layer[],
): Promise<Layer> {
  const fault = (message: string): never => {
    throw new MigrateError('invalid-input', `${files.label}: layer ${chainId}: ${message}`);
  };
  if (!(await hasLayer(files, chainId))) {
    throw new MigrateError('not-found', `${files.label}: layer ${chainId} is missing from the layer store`);
  }
  const text = async (path: string): Promise<string | undefined> => {
    const bytes = await files.readFile(path, smallFileBytes);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8').trim();
  };
  const entry = async (name: string): Promise<string> =>
    (await text(`${layerPath(chainId)}/${name}`)) ?? fault(`its file "${name}" is missing`);
  if ((await entry('diff')) !== diffId) fault(`its file "diff" does not name ${diffId}, as the image does`);
  const parent = below.at(-1)?.chainId;
  if ((await text(`${layerPath(chainId)}/parent`)) !== parent) {
    fault(`its file "parent" should ${parent === undefined ? 'not exist' : `name ${parent}`}`);
  }
  const size = await entry('size');
  if (!/^\d{1,15}$/.test(size)) fault('its file "size" is no number');
  const tarSplit = await files.status(`${layerPath(chainId)}/${tarSplitName}`);
  if (tarSplit?.kind !== 'file') fault(`its file "${tarSplitName}" is missing`);
  const cacheId = await entry('cache-id');
  if (!isCacheId(cacheId)) fault('its file "cache-id" does not hold 64 hexadecimal digits');
  if ((await files.status(`${cachePath(cacheId)}/diff`))?.kind !== 'directory') {
    fault(`its files are missing: there is no directory ${cachePath(cacheId)}/diff`);
  }
  const link = (await text(`${cachePath(cacheId)}/link`)) ?? fault(`${cachePath(cacheId)}/link is missing`);
  if (!isLink(link)) fault(`${cachePath(cacheId)}/link does not hold a name of 26 capitals and digits`);
  if ((await files.readLink(linkPath(link))) !== linkTarget(cacheId)) {
    fault(`${linkPath(link)} does not lead to ${linkTarget(cacheId)}`);
  }
  const lower = (await text(`${cachePath(cacheId)}/lower`)) ?? '';
  if (lower !== lowerText(below.map((layer) => layer.link).reverse())) {
    fault(`${cachePath(cacheId)}/lower does not list the links of the layers below`);
  }
  return { chainId, diffId, ...(parent === undefined ? {} : { parent }), cacheId, link, sizeBytes: Number(size) };
}
