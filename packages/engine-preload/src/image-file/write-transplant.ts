// A transplant's plan written into the file system of an image file.
import type { Emit, Host } from '@migrate/core';
import { hexOf } from '../root/digest.ts';
import { cachePath, layerPath, linkPath, linkTarget, tarSplitName } from '../root/layer-store.ts';
import { contentPath, metadataPath } from '../root/read-data-root.ts';
import { printRepositories, repositoriesPath } from '../root/repositories.ts';
import type { ImageSource } from '../transplant/image-source.ts';
import { removeTrees } from '../transplant/journal.ts';
import { missingDirectories } from '../transplant/place.ts';
import type { NewImage, NewLayer, TransplantPlan } from '../transplant/plan-transplant.ts';
import { command } from './debugfs-commands.ts';
import type { Ext4File } from './ext4-file.ts';
import { type LayerMember, ownMember, type ReadTar } from './layer-member.ts';
import { type MemberWriter, memberWriter } from './member-writer.ts';

export interface ImageWriting {
  readonly host: Host;
  readonly file: Ext4File;
  readonly source: ImageSource;
  readonly plan: TransplantPlan;
  /** Path of the data root in the file system: `/docker`. */
  readonly root: string;
  /** A copy of its stores as they are. */
  readonly mirror: string;
  /** A directory of our own. */
  readonly scratch: string;
  readonly readTar: ReadTar;
  readonly emit: Emit;
}

const chunkBytes = 1024 * 1024;

/** One debugfs a layer, so that no more than a layer's files lie in `scratch` at once. */
export async function writeTransplant(writing: ImageWriting): Promise<void> {
  const { plan, root, host, mirror, emit } = writing;
  await inOneGo(writing, async (writer) => {
    for (const { path, mode } of await missingDirectories(host, mirror))
      await writer.add(ownMember(path, { mode }), root);
  });
  const total = plan.layers.reduce((sum, { source }) => sum + source.sizeBytes, 0);
  let done = 0;
  for (const layer of plan.layers) {
    await writeLayer(writing, layer);
    done += layer.source.sizeBytes;
    emit({ kind: 'progress', text: 'writing layers', done, total, unit: 'bytes' });
  }
  await inOneGo(writing, async (writer) => {
    for (const image of plan.images) await addImage(writer, root, image);
    if (plan.repositories === undefined) return;
    const isThere = (await host.linkStatus(`${mirror}/${repositoriesPath}`)) !== undefined;
    if (isThere) writer.run(command('rm', `${root}/${repositoriesPath}`));
    const text = printRepositories(plan.repositories);
    await writer.add(ownMember(repositoriesPath, { mode: 0o600, text }), root);
  });
}

/** Runs `fill` and then what it has collected, in a fresh scratch directory. */
export async function inOneGo(
  { host, file, scratch }: Pick<ImageWriting, 'host' | 'file' | 'scratch'>,
  fill: (writer: MemberWriter, directory: string) => Promise<void>,
): Promise<void> {
  const directory = `${scratch}/step`;
  await host.makeDirectory(directory, 0o700);
  try {
    const writer = memberWriter(host, file, directory);
    await fill(writer, directory);
    await writer.finish();
  } finally {
    await removeTrees(host, [directory]);
  }
}

async function writeLayer(writing: ImageWriting, layer: NewLayer): Promise<void> {
  const { host, source, root, scratch, readTar } = writing;
  const packed = `${scratch}/packed`;
  await host.makeDirectory(packed, 0o700);
  try {
    await source.packLayer(layer.source, packed);
    await inOneGo(writing, async (writer) => {
      const cache = `${root}/${cachePath(layer.cacheId)}`;
      await writer.add(ownMember(cachePath(layer.cacheId), { mode: 0o710 }), root);
      // Its attributes come with the archive.
      writer.run(command('mkdir', `${cache}/diff`));
      for await (const member of readTar(chunksOf(host, `${packed}/layer.tar`)))
        await writer.add(member, `${cache}/diff`);
      await addEngineFiles(writer, writing, { layer, tarSplit: chunksOf(host, `${packed}/${tarSplitName}`) });
    });
  } finally {
    await removeTrees(host, [packed]);
  }
}

/** What the engine itself keeps of a layer. Modes are those that it gives. */
async function addEngineFiles(
  writer: MemberWriter,
  { host, root, scratch }: ImageWriting,
  { layer, tarSplit }: { layer: NewLayer; tarSplit: AsyncIterable<Uint8Array> },
): Promise<void> {
  const { source, cacheId, link, lower } = layer;
  const cache = `${root}/${cachePath(cacheId)}`;
  const text = (name: string, contents: string, base: string, mode = 0o644): Promise<void> =>
    writer.add(ownMember(name, { mode, text: contents }), base);
  if (lower !== '') await writer.add(ownMember('work', { mode: 0o700 }), cache);
  await text('link', link, cache);
  if (lower !== '') await text('lower', lower, cache);
  await text('committed', '', cache, 0o600);
  const symlink: LayerMember = {
    ...ownMember(linkPath(link), { mode: 0o777 }),
    kind: 'symlink',
    linkName: linkTarget(cacheId),
  };
  await writer.add(symlink, root);
  const entry = `${root}/${layerPath(source.chainId)}`;
  await writer.add(ownMember(layerPath(source.chainId), { mode: 0o700 }), root);
  await text('diff', source.diffId, entry);
  await text('cache-id', cacheId, entry);
  await text('size', String(source.sizeBytes), entry);
  if (source.parent !== undefined) await text('parent', source.parent, entry);
  const sizeBytes = (await host.status(`${scratch}/packed/${tarSplitName}`))?.sizeBytes ?? 0;
  await writer.add(
    { ...ownMember(tarSplitName, { mode: 0o644, text: '' }), sizeBytes, contents: () => tarSplit },
    entry,
  );
}

async function addImage(writer: MemberWriter, root: string, { image, parent }: NewImage): Promise<void> {
  const metadata = `${root}/${metadataPath}/${hexOf(image.id)}`;
  await writer.add(ownMember(`${metadataPath}/${hexOf(image.id)}`, { mode: 0o700 }), root);
  if (parent !== undefined) await writer.add(ownMember('parent', { mode: 0o600, text: parent }), metadata);
  if (image.lastUpdated !== undefined) {
    await writer.add(ownMember('lastUpdated', { mode: 0o600, text: image.lastUpdated }), metadata);
  }
  await writer.add(ownMember(`${contentPath}/${hexOf(image.id)}`, { mode: 0o600, text: image.configBytes }), root);
}

async function* chunksOf(host: Host, path: string): AsyncGenerator<Uint8Array> {
  const reader = await host.openRead(path);
  try {
    for (let position = 0; ; ) {
      const chunk = new Uint8Array(chunkBytes);
      const length = await reader.read(chunk, position);
      if (length === 0) return;
      yield chunk.subarray(0, length);
      position += length;
    }
  } finally {
    await reader.close();
  }
}
