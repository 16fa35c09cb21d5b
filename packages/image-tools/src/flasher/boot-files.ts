import { type ByteReader, doing, type Partition, windowOf } from '@migrate/core';
import { openFat } from '../fat/fat-reader.ts';
import type { Inspection } from '../inspect/inspect-image.ts';

/** The boot partition of an image of balenaOS, raw or flasher. */
export function bootPartition({ labels, table }: Inspection): Partition | undefined {
  return table.partitions[labels['resin-boot'] ?? labels['flash-boot'] ?? -1];
}

/**
 * Contents of a file of the boot partition ("/config.json"); undefined where there is none. Throws `invalid-input` for a damaged
 * file system or a file of more than 8 MiB.
 */
export async function readBootFile(
  image: ByteReader,
  inspection: Inspection,
  path: string,
): Promise<Uint8Array | undefined> {
  const partition = bootPartition(inspection);
  if (partition === undefined) return undefined;
  return doing(`reading ${path} of the boot partition`, 'read-failed', async () => {
    const volume = await openFat(windowOf(image, partition.startByte, partition.sizeBytes));
    const entry = await volume.find(path);
    return entry?.kind === 'file' ? volume.readFile(path) : undefined;
  });
}
