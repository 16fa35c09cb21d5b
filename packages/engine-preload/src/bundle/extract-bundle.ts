// Takes images out of a data root into a bundle: a directory that can be stored, sent, checked, and put into other roots.
import { basename, dirname } from 'node:path/posix';
import { doing, type Emit, type Host, MigrateError } from '@migrate/core';
import { type Digest, digestOf } from '../root/digest.ts';
import { findImages, namedImages } from '../root/find-images.ts';
import type { Layer } from '../root/layer-store.ts';
import { requireRoot } from '../transplant/check-target.ts';
import { eachOf } from '../transplant/each-of.ts';
import type { ImageSource } from '../transplant/image-source.ts';
import { removeTrees } from '../transplant/journal.ts';
import {
  type BundleIndex,
  type BundleLayer,
  configName,
  indexName,
  printIndex,
  tarName,
  tarSplitFileName,
} from './bundle-index.ts';
import { sumFile, writeFileChunks } from './layer-tar.ts';

export interface ExtractRequest {
  readonly host: Host;
  readonly source: ImageSource;
  /** As `findImages` takes them; undefined for all images that have a name. */
  readonly names?: readonly string[];
  /** The directory to make; it must not exist. */
  readonly out: string;
  readonly emit: Emit;
}

export interface ExtractResult {
  readonly index: BundleIndex;
  /** Hash of bundle.json, which holds those of all other files. */
  readonly sha256: Digest;
}

const packedAtOnce = 2;

/**
 * Writes a bundle. It appears under its name only when complete and durable. Throws `unsupported` without root where
 * the source needs it, `invalid-input` where `out` exists, and as `findImages` does.
 */
export async function extractBundle({ host, source, names, out, emit }: ExtractRequest): Promise<ExtractResult> {
  if (source.needsRoot) await requireRoot(host);
  const images = findImages(source, names ?? namedImages(source));
  if ((await host.linkStatus(out)) !== undefined)
    throw new MigrateError('invalid-input', `${out} exists: remove it, or choose another name`);
  const part = `${dirname(out)}/.${basename(out)}.migrate-part`;
  return doing(`writing the bundle ${out}`, 'write-failed', async () => {
    await removeTrees(host, [part]);
    try {
      for (const directory of [part, `${part}/configs`, `${part}/layers`]) await host.makeDirectory(directory, 0o700);
      for (const { id, configBytes } of images)
        await host.writeNew(`${part}/${configName(id)}`, configBytes, { mode: 0o644 });
      const layers = await packLayers({ host, source, emit, part, layers: images.flatMap((image) => image.layers) });
      const index = { images, layers };
      const bytes = printIndex(index);
      await host.writeNew(`${part}/${indexName}`, bytes, { mode: 0o644 });
      await host.run('sync', ['--file-system', '--', part], { timeoutMs: 3_600_000 });
      await host.rename(part, out);
      await host.run('sync', ['--', dirname(out)]);
      return { index, sha256: digestOf(bytes) };
    } catch (thrown) {
      await removeTrees(host, [part]);
      throw thrown;
    }
  });
}

async function packLayers({
  host,
  source,
  emit,
  part,
  layers,
}: {
  host: Host;
  source: ImageSource;
  emit: Emit;
  part: string;
  layers: readonly Layer[];
}): Promise<ReadonlyMap<Digest, BundleLayer>> {
  const unique = new Map(layers.map((layer) => [layer.chainId, layer]));
  const packed = new Map<Digest, BundleLayer>();
  const total = [...unique.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  await eachOf([...unique.values()], packedAtOnce, async (layer) => {
    const [tar, tarSplit] = [`${part}/${tarName(layer.chainId)}`, `${part}/${tarSplitFileName(layer.chainId)}`];
    await source.writeArchive(layer, tar);
    await writeFileChunks(host, tarSplit, source.readTarSplit(layer));
    packed.set(layer.chainId, {
      layer,
      space: await source.measure([layer]),
      tar: await sumFile(host, tar),
      tarSplit: await sumFile(host, tarSplit),
    });
    done += layer.sizeBytes;
    emit({ kind: 'progress', text: 'packing layers', done, total, unit: 'bytes' });
  });
  // In the order of the images, whichever was packed first: the same images make the same index.
  const ordered = new Map<Digest, BundleLayer>();
  for (const chainId of unique.keys()) {
    const layer = packed.get(chainId);
    if (layer !== undefined) ordered.set(chainId, layer);
  }
  return ordered;
}
