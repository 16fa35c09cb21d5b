// A transplant's plan written into the file system of an image file.
import type { Emit } from '@migrate/core';
import { hexOf } from '../root/digest.ts';
import { cachePath, layerPath, linkPath, linkTarget, tarSplitName } from '../root/layer-store.ts';
import { contentPath, metadataPath } from '../root/read-data-root.ts';
import { printRepositories, repositoriesPath } from '../root/repositories.ts';
import type { ImageSource } from '../transplant/image-source.ts';
import { missingDirectories } from '../transplant/place.ts';
import type { NewImage, NewLayer, TransplantPlan } from '../transplant/plan-transplant.ts';
import { command } from './debugfs-commands.ts';
import { type LayerMember, ownMember, type ReadTar } from './layer-member.ts';
import { type MemberTarget, type MemberWriter, memberWriter } from './member-writer.ts';

export interface ImageWriting extends MemberTarget {
  readonly source: ImageSource;
  readonly plan: TransplantPlan;
  /** Path of the data root in the file system: `/docker`. */
  readonly root: string;
  /** A copy of its stores as they are. */
  readonly mirror: string;
  readonly readTar: ReadTar;
  readonly emit: Emit;
}

export async function writeTransplant(writing: ImageWriting): Promise<void> {
  const { plan, root, host, mirror, emit } = writing;
  const writer = memberWriter(writing);
  const directories = await missingDirectories(host, mirror);
  await writer.add({ base: root, members: () => directories.map(({ path, mode }) => ownMember(path, { mode })) });
  const total = plan.layers.reduce((sum, { source }) => sum + source.sizeBytes, 0);
  let done = 0;
  for (const layer of plan.layers) {
    await addLayer(writer, writing, layer, () => {
      done += layer.source.sizeBytes;
      emit({ kind: 'progress', text: 'writing layers', done, total, unit: 'bytes' });
    });
  }
  for (const image of plan.images) {
    const members = imageMembers(image);
    await writer.add({ base: root, members: () => members });
  }
  if (plan.repositories !== undefined) {
    const isThere = (await host.linkStatus(`${mirror}/${repositoriesPath}`)) !== undefined;
    const text = printRepositories(plan.repositories);
    await writer.add({
      base: root,
      before: isThere ? [command('rm', `${root}/${repositoriesPath}`)] : [],
      members: () => [ownMember(repositoriesPath, { mode: 0o600, text })],
    });
  }
  await writer.finish();
}

async function addLayer(
  writer: MemberWriter,
  { source, root, readTar }: ImageWriting,
  layer: NewLayer,
  onWritten: () => void,
): Promise<void> {
  const cache = `${root}/${cachePath(layer.cacheId)}`;
  await writer.add({ base: root, members: () => [ownMember(cachePath(layer.cacheId), { mode: 0o710 })] });
  await writer.add({
    base: `${cache}/diff`,
    // Its attributes come with the archive.
    before: [command('mkdir', `${cache}/diff`)],
    members: async function* () {
      const archive = source.readArchive(layer.source);
      try {
        yield* readTar(archive);
      } finally {
        await archive.return(undefined);
      }
    },
    onWritten,
  });
  const members = engineMembers(layer);
  let tarSplitBytes = 0;
  for await (const chunk of source.readTarSplit(layer.source)) tarSplitBytes += chunk.length;
  const tarSplit: LayerMember = {
    ...ownMember(`${layerPath(layer.source.chainId)}/${tarSplitName}`, { mode: 0o644, text: '' }),
    sizeBytes: tarSplitBytes,
    ranges: [{ startByte: 0, endByte: tarSplitBytes }],
    contents: () => source.readTarSplit(layer.source),
  };
  await writer.add({ base: root, members: () => [...members, tarSplit] });
}

/** What the engine itself keeps of a layer but for the record of its tar. Modes are those that it gives. */
function engineMembers({ source, cacheId, link, lower }: NewLayer): readonly LayerMember[] {
  const text = (path: string, contents: string, mode = 0o644): LayerMember => ownMember(path, { mode, text: contents });
  const [cache, entry] = [cachePath(cacheId), layerPath(source.chainId)];
  const symlink: LayerMember = {
    ...ownMember(linkPath(link), { mode: 0o777 }),
    kind: 'symlink',
    linkName: linkTarget(cacheId),
  };
  return [
    text(`${cache}/link`, link),
    ...(lower === '' ? [] : [ownMember(`${cache}/work`, { mode: 0o700 }), text(`${cache}/lower`, lower)]),
    text(`${cache}/committed`, '', 0o600),
    symlink,
    ownMember(entry, { mode: 0o700 }),
    text(`${entry}/diff`, source.diffId),
    text(`${entry}/cache-id`, cacheId),
    text(`${entry}/size`, String(source.sizeBytes)),
    ...(source.parent === undefined ? [] : [text(`${entry}/parent`, source.parent)]),
  ];
}

function imageMembers({ image, parent }: NewImage): readonly LayerMember[] {
  const metadata = `${metadataPath}/${hexOf(image.id)}`;
  const own = (path: string, text: string | Uint8Array): LayerMember => ownMember(path, { mode: 0o600, text });
  return [
    ownMember(metadata, { mode: 0o700 }),
    ...(parent === undefined ? [] : [own(`${metadata}/parent`, parent)]),
    ...(image.lastUpdated === undefined ? [] : [own(`${metadata}/lastUpdated`, image.lastUpdated)]),
    own(`${contentPath}/${hexOf(image.id)}`, image.configBytes),
  ];
}
