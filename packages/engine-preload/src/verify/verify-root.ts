// Proves a data root: every image down to the last byte of its layers.
import { type Emit, type Host, MigrateError } from '@migrate/core';
import type { Digest } from '../root/digest.ts';
import type { Layer } from '../root/layer-store.ts';
import { type DamagedImage, type DataRoot, readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles, type RootFiles } from '../root/root-files.ts';
import { type ArchiveOf, verifyLayer } from './verify-layer.ts';

export interface LayerVerification {
  readonly layer: Layer;
  /** References of the images that stand on it, or their ids where they have none. */
  readonly usedBy: readonly string[];
  /** What is wrong with it, in sentences. */
  readonly faults: readonly string[];
}

export interface ImageVerification {
  readonly id: Digest;
  readonly references: readonly string[];
  readonly layers: number;
  /** Sum of its layers' sizes as the engine records them. */
  readonly sizeBytes: number;
  readonly isRight: boolean;
}

/** One row an image and one a layer: what a table shows. */
export interface RootVerification {
  readonly isRight: boolean;
  readonly images: readonly ImageVerification[];
  readonly layers: readonly LayerVerification[];
  /** Images that cannot be used at all, and why. */
  readonly damaged: readonly DamagedImage[];
}

/**
 * Checks all images of the data root in a directory: configurations, chain ids, the layer store, links and `lower` as
 * `readDataRoot` does, and then every layer by making its original archive again, whose sha256 must be the diff id; owners, modes,
 * kinds, device numbers, whiteouts, opaque directories, and the capabilities and other attributes that the archive had are held
 * against it; attributes that came later are not seen. Needs root.
 */
export async function verifyRoot(host: Host, root: string, emit: Emit): Promise<RootVerification> {
  if (host.userId !== 0)
    throw new MigrateError('unsupported', 'only root can read all files of an engine: run it with sudo');
  return verifyFiles(directoryFiles(host, root), archiveByTar(host, root), emit);
}

/** The same for files from elsewhere, as those of an image. */
export async function verifyFiles(files: RootFiles, archiveOf: ArchiveOf, emit: Emit): Promise<RootVerification> {
  const root = await readDataRoot(files);
  const total = [...root.layers.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const layers: LayerVerification[] = [];
  let done = 0;
  for (const layer of root.layers.values()) {
    const { faults } = await verifyLayer(files, layer, archiveOf);
    layers.push({ layer, usedBy: usersOf(root, layer), faults });
    done += layer.sizeBytes;
    emit({ kind: 'progress', text: 'verifying layers', done, total, unit: 'bytes' });
  }
  const wrong = new Set(layers.filter(({ faults }) => faults.length > 0).map(({ layer }) => layer.chainId));
  return {
    isRight: wrong.size === 0 && root.damaged.length === 0,
    images: root.images.map(({ id, references, layers: stack }) => ({
      id,
      references,
      layers: stack.length,
      sizeBytes: stack.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      isRight: stack.every(({ chainId }) => !wrong.has(chainId)),
    })),
    layers,
    damaged: root.damaged,
  };
}

function usersOf({ images }: DataRoot, { chainId }: Layer): readonly string[] {
  return images
    .filter(({ layers }) => layers.some((layer) => layer.chainId === chainId))
    .flatMap(({ id, references }) => (references.length === 0 ? [id] : references));
}

/** Node can neither read extended attributes nor name what is not UTF-8: GNU tar writes them, the attributes as pax records. */
export function archiveByTar(host: Host, root: string): ArchiveOf {
  return (base, names) => {
    const form = ['--format=posix', '--xattrs', '--xattrs-include=*', '--no-recursion', '--hard-dereference', '--null'];
    const args = [
      '--create',
      '--file',
      '-',
      '--numeric-owner',
      ...form,
      '--directory',
      `${root}/${base}`,
      '--files-from',
      '-',
    ];
    const input = async function* (): AsyncGenerator<Uint8Array> {
      for (const name of names) yield Buffer.concat([Buffer.from('./'), name, Buffer.from([0])]);
    };
    return host.runStream('tar', args, { input: input() });
  };
}
