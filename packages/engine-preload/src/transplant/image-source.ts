// Where images come from: a data root in a directory, or a bundle.
import { type Host, MigrateError } from '@migrate/core';
import { cachePath, type Layer, layerPath, tarSplitName } from '../root/layer-store.ts';
import { type DamagedImage, type Image, readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles } from '../root/root-files.ts';

export interface SpaceNeed {
  readonly bytes: number;
  readonly inodes: number;
}

export interface ImageSource {
  /** What messages call it. */
  readonly label: string;
  readonly images: readonly Image[];
  readonly damaged: readonly DamagedImage[];
  /** What the files of a layer take on disk. */
  measure(layer: Layer): Promise<SpaceNeed>;
  /** Makes `diff` (the layer's files) and `tar-split.json.gz` in an empty directory. Not durable. */
  placeLayer(layer: Layer, directory: string): Promise<void>;
  close(): Promise<void>;
}

/** Copying gigabytes to a slow card takes its time; a child that hangs for ever is ended all the same. */
export const copyTimeoutMs = 24 * 60 * 60 * 1000;

/** A data root in a directory of this machine. Its engine may run: layers never change once they are made. */
export async function directorySource(host: Host, directory: string): Promise<ImageSource> {
  const root = await readDataRoot(directoryFiles(host, directory));
  if (root.kind === 'empty') throw new MigrateError('not-found', `${directory} holds no images`);
  return {
    label: directory,
    images: root.images,
    damaged: root.damaged,
    measure: (layer) => measureTree(host, `${directory}/${cachePath(layer.cacheId)}/diff`),
    placeLayer: async (layer, target) => {
      // Named one by one: "-a" would pass over attributes that cannot be kept, and whiteouts are lost without them.
      const keep = '--preserve=mode,ownership,timestamps,links,xattr';
      const diff = `${directory}/${cachePath(layer.cacheId)}/diff`;
      const tarSplit = `${directory}/${layerPath(layer.chainId)}/${tarSplitName}`;
      const args = [
        '-R',
        '--no-dereference',
        keep,
        '--reflink=auto',
        '--target-directory',
        target,
        '--',
        diff,
        tarSplit,
      ];
      await host.run('cp', args, { timeoutMs: copyTimeoutMs });
    },
    close: async () => {},
  };
}

/** Blocks and inodes of a tree as they are on its disk. */
async function measureTree(host: Host, path: string): Promise<SpaceNeed> {
  const measure = async (unit: string): Promise<number> => {
    const { stdout } = await host.run('du', ['--summarize', unit, '--', path], { timeoutMs: copyTimeoutMs });
    const [, count] = /^(\d+)\s/.exec(stdout) ?? [];
    if (count === undefined) throw new MigrateError('command-failed', `du says nothing of the size of ${path}`);
    return Number(count);
  };
  return { bytes: await measure('--block-size=1'), inodes: await measure('--inodes') };
}
