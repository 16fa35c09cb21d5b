import { type ByteRange, type ByteWriter, type ImageFacts, MigrateError, type PartitionTable } from '@migrate/core';
import { imageSectorBytes } from '../inspect/inspect-image.ts';

/**
 * The sectors without which no firmware takes the disk for bootable: sector 0 with boot code and MBR, and for GPT also its
 * header in sector 1. They are written last.
 */
export function commitRange(table: PartitionTable): ByteRange {
  return { startByte: 0, endByte: (table.kind === 'gpt' ? 2 : 1) * imageSectorBytes };
}

/**
 * The end of a disk, where the backup GPT lies in the last 33 sectors (UEFI specification 2.10, 5.3.1), and before it superblocks
 * of old RAID members and ZFS: balenaOS grows resin-data up to there, and must not be taken for one of them.
 */
const diskEndBytes = 1024 * 1024;

/**
 * Makes the old system unbootable on purpose, so that a half-written disk never looks like a whole one: first the end of the
 * disk with the backup GPT, from which firmware could bring back the old table, then the commit sectors. Durable when it returns.
 */
export async function wipeOldTables(target: ByteWriter, image: ImageFacts): Promise<void> {
  await wipeDiskEnd(target, image);
  const { startByte, endByte } = commitRange({ ...image.table, kind: 'gpt' });
  await target.write(new Uint8Array(endByte - startByte), startByte);
  await target.flush();
}

/** Wipes the last MiB of the disk as far as it lies behind the image. Durable when it returns. */
export async function wipeDiskEnd(target: ByteWriter, image: Pick<ImageFacts, 'sizeBytes'>): Promise<void> {
  const startByte = Math.max(target.sizeBytes - diskEndBytes, image.sizeBytes);
  if (startByte < target.sizeBytes) await target.write(new Uint8Array(target.sizeBytes - startByte), startByte);
  await target.flush();
}

/**
 * Writes the commit sectors, the one that makes the disk bootable last, each durable before the next, and reads them back:
 * sector 0 decides, since firmware looks for boot code there or for the protective MBR without which a GPT does not count.
 * `dropCaches` makes that read come from the medium. Throws `verify-mismatch`; it may be run again.
 */
export async function writeCommitSectors(
  target: ByteWriter,
  commitBytes: Uint8Array,
  dropCaches: () => Promise<void> = async () => {},
): Promise<void> {
  for (let startByte = commitBytes.length - imageSectorBytes; startByte >= 0; startByte -= imageSectorBytes) {
    await target.write(commitBytes.subarray(startByte, startByte + imageSectorBytes), startByte);
    await target.flush();
  }
  await dropCaches();
  const found = Buffer.alloc(commitBytes.length);
  await target.read(found, 0);
  if (found.compare(commitBytes) !== 0) {
    throw new MigrateError('verify-mismatch', 'the disk did not keep the first sectors');
  }
}
