// An image's configuration: https://github.com/opencontainers/image-spec/blob/main/config.md
import { MigrateError } from '@migrate/core';
import { type Digest, isDigest } from './digest.ts';
import { asArray, asObject, parseJson } from './json-file.ts';

export interface ImageConfig {
  /** Lowest first. */
  readonly diffIds: readonly Digest[];
  readonly architecture: string;
  readonly os: string;
  /** "v7" of arm/v7; empty where there is none. */
  readonly variant: string;
  /** As it is written; undefined where the image does not say. */
  readonly created?: string;
}

/** overlayfs stacks at most 500 layers, the engine 128 (moby, daemon/graphdriver/overlay2: maxDepth); ours bounds hostile files. */
const maximumLayers = 500;

/** Throws `invalid-input` naming `where`, the file. */
export function parseImageConfig(bytes: Uint8Array, where: string): ImageConfig {
  const config = asObject(parseJson(bytes, where), where);
  const rootfs = asObject(config.get('rootfs'), `${where}: rootfs`);
  const diffIds = asArray(rootfs.get('diff_ids') ?? [], `${where}: rootfs.diff_ids`);
  if (diffIds.length > maximumLayers) {
    throw new MigrateError('invalid-input', `${where}: ${diffIds.length} layers are more than ${maximumLayers}`);
  }
  const text = (key: string): string => {
    const value = config.get(key);
    return typeof value === 'string' ? value : '';
  };
  const created = text('created');
  return {
    diffIds: diffIds.map((diffId, index) => {
      if (!isDigest(diffId))
        throw new MigrateError('invalid-input', `${where}: rootfs.diff_ids[${index}] is no sha256 digest`);
      return diffId;
    }),
    architecture: text('architecture'),
    os: text('os'),
    variant: text('variant'),
    ...(created === '' ? {} : { created }),
  };
}
