// A docker or balenaEngine data root as data: its images and the layers they stand on.
import { doing, MigrateError, messageOf } from '@migrate/core';
import { chainIds, type Digest, digestOf, hexOf, isDigest } from './digest.ts';
import { type ImageConfig, parseImageConfig } from './image-config.ts';
import { type Layer, readLayer } from './layer-store.ts';
import {
  parseRepositories,
  type Repositories,
  referencesTo,
  repositoriesLimitBytes,
  repositoriesPath,
} from './repositories.ts';
import type { RootFiles } from './root-files.ts';
import { type RootKind, recogniseRoot } from './storage-driver.ts';

export const contentPath = 'image/overlay2/imagedb/content/sha256';
export const metadataPath = 'image/overlay2/imagedb/metadata/sha256';
const configLimitBytes = 8 * 1024 * 1024;

export interface Image {
  /** sha256 of its configuration. */
  readonly id: Digest;
  /** The configuration as it is stored. */
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  /** "name:tag" and "name@sha256:…", sorted. */
  readonly references: readonly string[];
  /** Lowest first. */
  readonly layers: readonly Layer[];
  /** The image that it was built from by the classic builder, whether that is here or not. */
  readonly parent?: Digest;
  /** When it was last tagged, as it is written. */
  readonly lastUpdated?: string;
}

/** An image that cannot be used, and why. */
export interface DamagedImage {
  readonly id: Digest;
  readonly references: readonly string[];
  readonly fault: string;
}

export interface DataRoot {
  readonly files: RootFiles;
  readonly kind: RootKind;
  readonly images: readonly Image[];
  /** Damage to one image does not hide the others. */
  readonly damaged: readonly DamagedImage[];
  readonly repositories: Repositories;
  /** Layers of all images by chain id. */
  readonly layers: ReadonlyMap<Digest, Layer>;
}

/**
 * Reads a data root. Images and layers are checked against each other: digests of configurations, computed chain ids, every file
 * of the layer store, links and `lower`; contents of layers are what `verifyRoot` checks. Throws `unsupported` and `not-found` as
 * `recogniseRoot` does, and `invalid-input` where repositories.json is broken.
 */
export async function readDataRoot(files: RootFiles): Promise<DataRoot> {
  const kind = await recogniseRoot(files);
  const text = await files.readFile(repositoriesPath, repositoriesLimitBytes);
  const repositories = text === undefined ? new Map() : parseRepositories(text, `${files.label}: ${repositoriesPath}`);
  const layers = new Map<Digest, Layer>();
  const images: Image[] = [];
  const damaged: DamagedImage[] = [];
  for (const id of await imageIds(files, repositories)) {
    const references = referencesTo(repositories, id);
    try {
      images.push(await readImage({ files, id, references, layers }));
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      damaged.push({ id, references, fault: messageOf(thrown) });
    }
  }
  return { files, kind, images, damaged, repositories, layers };
}

async function imageIds(files: RootFiles, repositories: Repositories): Promise<readonly Digest[]> {
  const stored = (await files.list(contentPath)).map((name) => `sha256:${name}`).filter(isDigest);
  const named = [...repositories.values()].flatMap((references) => [...references.values()]);
  return [...new Set([...stored, ...named])].sort();
}

async function readImage({
  files,
  id,
  references,
  layers,
}: {
  files: RootFiles;
  id: Digest;
  references: readonly string[];
  /** Those read so far; new ones are added. */
  layers: Map<Digest, Layer>;
}): Promise<Image> {
  const path = `${contentPath}/${hexOf(id)}`;
  const configBytes = await files.readFile(path, configLimitBytes);
  if (configBytes === undefined) throw new MigrateError('not-found', `${files.label}: ${path} is missing`);
  if (digestOf(configBytes) !== id) {
    throw new MigrateError('invalid-input', `${files.label}: ${path} has been changed: its sha256 is not its name`);
  }
  const config = parseImageConfig(configBytes, `${files.label}: ${path}`);
  const stack: Layer[] = [];
  for (const [index, chainId] of chainIds(config.diffIds).entries()) {
    const diffId = config.diffIds[index] ?? chainId;
    const layer =
      layers.get(chainId) ??
      (await doing(`layer ${index + 1} of ${config.diffIds.length}`, 'read-failed', () =>
        readLayer(files, { chainId, diffId }, stack),
      ));
    layers.set(chainId, layer);
    stack.push(layer);
  }
  const metadata = async (name: string): Promise<string | undefined> => {
    const bytes = await files.readFile(`${metadataPath}/${hexOf(id)}/${name}`, 4096);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString().trim();
  };
  const parent = await metadata('parent');
  const lastUpdated = await metadata('lastUpdated');
  return {
    id,
    configBytes,
    config,
    references,
    layers: stack,
    ...(isDigest(parent) ? { parent } : {}),
    ...(lastUpdated === undefined ? {} : { lastUpdated }),
  };
}
