// A bundle as a source of images: the directory, or one tar file of it (gzip and zstd too, as GNU tar recognises them).
import { doing, type Host, MigrateError } from '@migrate/core';
import { type Layer, tarSplitName } from '../root/layer-store.ts';
import { copyTimeoutMs } from '../transplant/copy-timeout.ts';
import type { ImageSource, SpaceNeed } from '../transplant/image-source.ts';
import { removeTrees } from '../transplant/journal.ts';
import { type BundleLayer, configName, indexName, parseIndex, tarName, tarSplitFileName } from './bundle-index.ts';
import { checkedChunks, checkFile, readFileChunks, unpackLayer, writeFileChunks } from './layer-tar.ts';

const indexLimitBytes = 64 * 1024 * 1024;
const configLimitBytes = 8 * 1024 * 1024;

/** Files of a bundle, wherever they lie. */
interface BundleFiles {
  read(name: string, limitBytes: number): Promise<Uint8Array>;
  stream(name: string): AsyncGenerator<Uint8Array>;
  /** Paths of files that may be read until `release`; `scratch` is a directory that is on the target. */
  provide(names: readonly string[], scratch: string): Promise<{ paths: readonly string[]; release(): Promise<void> }>;
  /** Bytes that providing the files of a layer takes on the target for as long as it is unpacked. */
  scratchBytes(layer: BundleLayer): number;
}

/** Opens the bundle at `path`. Each file is checked against the index when it is used. Throws `invalid-input` and `not-found`. */
export async function openBundle(host: Host, path: string): Promise<ImageSource> {
  const isFile = (await host.status(path))?.kind === 'file';
  const files = isFile ? archiveFiles(host, path) : directoryBundle(host, path);
  return doing(`opening the bundle ${path}`, 'read-failed', async () => {
    const index = await parseIndex(await files.read(indexName, indexLimitBytes), {
      where: indexName,
      readConfig: (id) => files.read(configName(id), configLimitBytes),
    });
    const entryOf = ({ chainId }: Layer): BundleLayer => {
      const entry = index.layers.get(chainId);
      if (entry === undefined) throw new MigrateError('not-found', `${path} has no layer ${chainId}`);
      return entry;
    };
    const provided = async <T>(
      layer: Layer,
      scratch: string,
      use: (tar: string, tarSplit: string) => Promise<T>,
    ): Promise<T> => {
      const { paths, release } = await files.provide(
        [tarName(layer.chainId), tarSplitFileName(layer.chainId)],
        scratch,
      );
      try {
        const [tar = '', tarSplit = ''] = paths;
        await checkFile(host, tar, entryOf(layer).tar);
        await checkFile(host, tarSplit, entryOf(layer).tarSplit);
        return await use(tar, tarSplit);
      } finally {
        await release();
      }
    };
    const readArchive = (layer: Layer): AsyncGenerator<Uint8Array> => {
      const name = tarName(layer.chainId);
      return checkedChunks(files.stream(name), entryOf(layer).tar, name);
    };
    return {
      label: path,
      needsRoot: false,
      images: index.images,
      damaged: [],
      measure: async (layers) => {
        const entries = layers.map(entryOf);
        const sum = (count: (space: SpaceNeed) => number): number =>
          entries.reduce((total, { space }) => total + count(space), 0);
        // Two layers are unpacked at a time.
        const scratch = 2 * Math.max(0, ...entries.map((entry) => files.scratchBytes(entry)));
        return { bytes: sum(({ bytes }) => bytes) + scratch, inodes: sum(({ inodes }) => inodes) };
      },
      placeLayer: (layer, directory) =>
        provided(layer, directory, async (tar, tarSplit) => {
          await unpackLayer(host, tar, `${directory}/diff`);
          await host.run('cp', ['--', tarSplit, `${directory}/${tarSplitName}`], { timeoutMs: copyTimeoutMs });
        }),
      readArchive,
      writeArchive: (layer, file) => writeFileChunks(host, file, readArchive(layer)),
      readTarSplit: (layer) => {
        const name = tarSplitFileName(layer.chainId);
        return checkedChunks(files.stream(name), entryOf(layer).tarSplit, name);
      },
      close: async () => {},
    };
  });
}

function directoryBundle(host: Host, directory: string): BundleFiles {
  return {
    read: async (name, limitBytes) => {
      if ((await host.linkStatus(`${directory}/${name}`))?.kind !== 'file')
        throw new MigrateError('not-found', `${name} is missing`);
      return host.readFile(`${directory}/${name}`, { limitBytes });
    },
    stream: (name) => readFileChunks(host, `${directory}/${name}`),
    provide: async (names) => ({ paths: names.map((name) => `${directory}/${name}`), release: async () => {} }),
    scratchBytes: () => 0,
  };
}

function archiveFiles(host: Host, archive: string): BundleFiles {
  const options = ['--extract', '--file', archive, '--occurrence=1'];
  return {
    read: async (name) => {
      const { stdout } = await host.run('tar', [...options, '--to-stdout', '--', name], { timeoutMs: copyTimeoutMs });
      return new TextEncoder().encode(stdout);
    },
    stream: (name) => host.runStream('tar', [...options, '--to-stdout', '--', name]),
    provide: async (names, scratch) => {
      const place = `${scratch}/from-archive`;
      await host.makeDirectory(place, 0o700);
      await host.run('tar', [...options, '--directory', place, '--no-same-owner', '--', ...names], {
        timeoutMs: copyTimeoutMs,
      });
      return { paths: names.map((name) => `${place}/${name}`), release: () => removeTrees(host, [place]) };
    },
    scratchBytes: ({ tar, tarSplit }) => tar.bytes + tarSplit.bytes,
  };
}
