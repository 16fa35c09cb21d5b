// Proves a data root: every image down to the last byte of its layers.
import { type Emit, type Host, MigrateError } from '@migrate/core';
import type { Digest } from '../root/digest.ts';
import type { Layer } from '../root/layer-store.ts';
import { type DamagedImage, type DataRoot, readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles, type RootFiles } from '../root/root-files.ts';
import { copyTimeoutMs } from '../transplant/copy-timeout.ts';
import { type CountOpaque, verifyLayer } from './verify-layer.ts';

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
 * kinds, device numbers, whiteouts and opaque directories are held against it. Other extended attributes are not. Needs root.
 */
export async function verifyRoot(host: Host, root: string, emit: Emit): Promise<RootVerification> {
  if (host.userId !== 0)
    throw new MigrateError('unsupported', 'only root can read all files of an engine: run it with sudo');
  return verifyFiles(directoryFiles(host, root), opaqueByTar(host, root), emit);
}

/** The same for files from elsewhere, as those of an image. */
export async function verifyFiles(files: RootFiles, countOpaque: CountOpaque, emit: Emit): Promise<RootVerification> {
  const root = await readDataRoot(files);
  const total = [...root.layers.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const layers: LayerVerification[] = [];
  let done = 0;
  for (const layer of root.layers.values()) {
    const { faults } = await verifyLayer(files, layer, countOpaque);
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

/** Node cannot read extended attributes: GNU tar is asked for the bare directories, whose attributes it writes as pax records. */
function opaqueByTar(host: Host, root: string): CountOpaque {
  return async (base, paths) => {
    const form = ['--format=posix', '--xattrs', '--xattrs-include=trusted.overlay.opaque', '--no-recursion', '--null'];
    const args = ['--create', '--file', '-', ...form, '--directory', `${root}/${base}`, '--files-from', '-'];
    const input = paths.map((path) => `./${path}\0`).join('');
    const { stdout } = await host.run('tar', args, { input, timeoutMs: copyTimeoutMs });
    return stdout.split('SCHILY.xattr.trusted.overlay.opaque=y\n').length - 1;
  };
}
