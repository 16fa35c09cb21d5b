// A data root inside an image as a source of images.
import { type FileTree, type Host, MigrateError, readToEnd, type TreeEntry } from '@migrate/core';
import { unpackLayer, writeFileChunks } from '../bundle/layer-tar.ts';
import { cachePath, type Layer, layerPath, tarSplitName } from '../root/layer-store.ts';
import { readDataRoot } from '../root/read-data-root.ts';
import { findEntry, treeFiles } from '../root/tree-files.ts';
import type { ImageSource, SpaceNeed } from './image-source.ts';

export interface TreeSourceRequest {
  readonly host: Host;
  readonly tree: FileTree;
  /** Where in the tree the data root is: "docker" on balenaOS's resin-data. */
  readonly directory: string;
  /** What messages call it. */
  readonly label: string;
  /** Writes a tree as a tar archive with pax records, all attributes and holes; names start with "./". */
  readonly writeTar: (tree: FileTree) => AsyncIterable<Uint8Array>;
}

/** A tree of directories deeper than this is forged. */
const maximumDepth = 4096;

/** Reads a data root in a tree, without a mount. The tree must stay open as long as the source is used. */
export async function treeSource({ host, tree, directory, label, writeTar }: TreeSourceRequest): Promise<ImageSource> {
  const files = treeFiles(tree, directory, label);
  const root = await readDataRoot(files);
  if (root.kind === 'empty') throw new MigrateError('not-found', `${label} holds no images`);
  const diffOf = async ({ cacheId }: Layer): Promise<TreeEntry> => {
    const entry = await findEntry(tree, `${directory}/${cachePath(cacheId)}/diff`);
    if (entry?.kind !== 'directory')
      throw new MigrateError('not-found', `${label}: ${cachePath(cacheId)}/diff is missing`);
    return entry;
  };
  const readArchive = async function* (layer: Layer): AsyncGenerator<Uint8Array> {
    yield* writeTar({ ...tree, root: await diffOf(layer) });
  };
  const readTarSplit = async function* ({ chainId }: Layer): AsyncGenerator<Uint8Array> {
    yield* readToEnd(await files.open(`${layerPath(chainId)}/${tarSplitName}`));
  };
  return {
    label,
    needsRoot: false,
    images: root.images,
    damaged: root.damaged,
    measure: async (layers) => {
      let need: SpaceNeed = { bytes: 0, inodes: 0 };
      for (const layer of layers) {
        const { bytes, inodes } = await measureEntry(tree, await diffOf(layer));
        need = { bytes: need.bytes + bytes, inodes: need.inodes + inodes };
      }
      // Archives of two layers lie beside their files while they are unpacked.
      const largest = Math.max(0, ...layers.map(({ sizeBytes }) => sizeBytes));
      return { bytes: need.bytes + 2 * largest, inodes: need.inodes };
    },
    readArchive,
    writeArchive: (layer, path) => writeFileChunks(host, path, readArchive(layer)),
    readTarSplit,
    placeLayer: async (layer, target) => {
      await writeFileChunks(host, `${target}/layer.tar`, readArchive(layer));
      await writeFileChunks(host, `${target}/${tarSplitName}`, readTarSplit(layer));
      await unpackLayer(host, `${target}/layer.tar`, `${target}/diff`);
      await host.removeFile(`${target}/layer.tar`);
    },
    close: async () => {},
  };
}

/** Blocks of 4 KiB and inodes of a directory and all in it. */
async function measureEntry(tree: FileTree, top: TreeEntry): Promise<SpaceNeed> {
  const blocks = (bytes: number): number => Math.ceil(bytes / 4096) * 4096;
  const seen = new Set<number>();
  let need: SpaceNeed = { bytes: 4096, inodes: 1 };
  const visit = async (directory: TreeEntry, depth: number): Promise<void> => {
    if (depth > maximumDepth) throw new MigrateError('invalid-input', 'its directories are nested without end');
    for (const entry of await tree.children(directory)) {
      if (seen.has(entry.inode)) continue;
      seen.add(entry.inode);
      const ranges = entry.kind === 'file' ? await tree.dataRanges(entry) : [];
      const data = ranges.reduce((sum, { startByte, endByte }) => sum + blocks(endByte - startByte), 0);
      need = { bytes: need.bytes + (entry.kind === 'directory' ? 4096 : data), inodes: need.inodes + 1 };
      if (entry.kind === 'directory') await visit(entry, depth + 1);
    }
  };
  await visit(top, 0);
  return need;
}
