import { type Host, isExtended, readPartitionTable, windowOf } from '@migrate/core';
import { findPartition, type ImageSource, treeSource, withSource } from '@migrate/engine-preload';
import { openExt4, writeTar } from '@migrate/image-tools';

/** Where balenaOS keeps its data root on resin-data. */
const dataRootOnResinData = 'docker';

/**
 * Opens what --from names for as long as `use` takes: what withSource opens, or an image file of balenaOS, whose resin-data is
 * read without a mount and without root.
 */
export async function withImages<T>(
  host: Host,
  { path, scratch }: { path: string; scratch: string },
  use: (source: ImageSource) => Promise<T>,
): Promise<T> {
  return (await isDiskImage(host, path)) ? withImageFile(host, path, use) : withSource(host, { path, scratch }, use);
}

/** Archives have no partition table where a disk has it. */
async function isDiskImage(host: Host, path: string): Promise<boolean> {
  if ((await host.status(path))?.kind !== 'file') return false;
  const reader = await host.openRead(path);
  try {
    const table = await readPartitionTable(reader, 512, { readsBackup: false }).catch(() => undefined);
    return table?.partitions.some(({ type }) => !isExtended(type)) === true;
  } finally {
    await reader.close();
  }
}

async function withImageFile<T>(host: Host, path: string, use: (source: ImageSource) => Promise<T>): Promise<T> {
  const { startByte, sizeBytes } = await findPartition(host, path, 'resin-data');
  const reader = await host.openRead(path);
  try {
    const tree = await openExt4(windowOf(reader, startByte, sizeBytes));
    const source = await treeSource({
      host,
      tree,
      directory: dataRootOnResinData,
      label: `resin-data of ${path}`,
      writeTar: (layer) => writeTar(layer, { maximumDataBytes: sizeBytes }),
    });
    return await use(source);
  } finally {
    await reader.close();
  }
}
