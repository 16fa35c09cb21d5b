// Where images come from: a data root in a directory, or a bundle.
import { type Host, MigrateError } from '@migrate/core';
import { packArguments, readFileChunks } from '../bundle/layer-tar.ts';
import { cachePath, type Layer, layerPath, tarSplitName } from '../root/layer-store.ts';
import { type DamagedImage, type Image, readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles } from '../root/root-files.ts';
import { copyTimeoutMs } from './copy-timeout.ts';

export interface SpaceNeed {
  readonly bytes: number;
  readonly inodes: number;
}

export interface ImageSource {
  /** What messages call it. */
  readonly label: string;
  /** Whether only root can read owners, device nodes and overlay attributes out of it. */
  readonly needsRoot: boolean;
  readonly images: readonly Image[];
  readonly damaged: readonly DamagedImage[];
  /** What the files of layers take on disk. */
  measure(layers: readonly Layer[]): Promise<SpaceNeed>;
  /** Makes `diff` (the layer's files) and `tar-split.json.gz` in an empty directory. Not durable. */
  placeLayer(layer: Layer, directory: string): Promise<void>;
  /** The layer's files as a tar archive (docs/bundle-format.md). It can be read again. Throws at its end where it is damaged. */
  readArchive(layer: Layer): AsyncGenerator<Uint8Array>;
  /** Writes that archive to a new file, not durable. */
  writeArchive(layer: Layer, path: string): Promise<void>;
  /** The bytes of the layer's `tar-split.json.gz`. */
  readTarSplit(layer: Layer): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
}

/** A data root in a directory of this machine. Its engine may run: layers never change once they are made. */
export async function directorySource(host: Host, directory: string): Promise<ImageSource> {
  const root = await readDataRoot(directoryFiles(host, directory));
  if (root.kind === 'empty') throw new MigrateError('not-found', `${directory} holds no images`);
  const tarSplitPath = ({ chainId }: Layer): string => `${directory}/${layerPath(chainId)}/${tarSplitName}`;
  return {
    label: directory,
    needsRoot: true,
    images: root.images,
    damaged: root.damaged,
    measure: (layers) =>
      measureTrees(
        host,
        layers.map(({ cacheId }) => `${directory}/${cachePath(cacheId)}/diff`),
      ),
    placeLayer: async (layer, target) => {
      // Named one by one: "-a" would pass over attributes that cannot be kept, and whiteouts are lost without them.
      const keep = '--preserve=mode,ownership,timestamps,links,xattr';
      const diff = `${directory}/${cachePath(layer.cacheId)}/diff`;
      const args = [
        '-R',
        '--no-dereference',
        keep,
        '--reflink=auto',
        '--target-directory',
        target,
        '--',
        diff,
        tarSplitPath(layer),
      ];
      await host.run('cp', args, { timeoutMs: copyTimeoutMs });
    },
    readArchive: ({ cacheId }) => host.runStream('tar', packArguments(`${directory}/${cachePath(cacheId)}/diff`, '-')),
    // Much faster than through a pipe and this process.
    writeArchive: async ({ cacheId }, path) => {
      const args = packArguments(`${directory}/${cachePath(cacheId)}/diff`, path);
      await host.run('tar', args, { timeoutMs: copyTimeoutMs });
    },
    readTarSplit: (layer) => readFileChunks(host, tarSplitPath(layer)),
    close: async () => {},
  };
}

/** Blocks and inodes of trees as they are on their disk. */
export async function measureTrees(host: Host, paths: readonly string[]): Promise<SpaceNeed> {
  if (paths.length === 0) return { bytes: 0, inodes: 0 };
  const measure = async (unit: string): Promise<number> => {
    const args = ['--summarize', '--total', unit, '--', ...paths];
    const { stdout } = await host.run('du', args, { timeoutMs: copyTimeoutMs });
    const [, count] = /^(\d+)\ttotal\n$/m.exec(stdout) ?? [];
    if (count === undefined) throw new MigrateError('command-failed', `du says nothing of the size of ${paths[0]}`);
    return Number(count);
  };
  const [bytes, inodes] = await Promise.all([measure('--block-size=1'), measure('--inodes')]);
  return { bytes, inodes };
}
