import { type ByteReader, type PartitionTable, readExactly } from '@migrate/core';
import { imageSectorBytes } from '../inspect/inspect-image.ts';

const chunkBytes = 1024 * 1024;
/** Boot code of an MBR ends where the identity of the disk begins. */
const bootCodeBytes = 440;
/** UEFI specification 2.10, section 5.3.1: sectors 0 to 33 of 512 bytes hold the tables. */
const gptSectors = 34;
/** Boot loaders are of some MiB; no more of a gap is read than this. */
const longestGapBytes = 64 * 1024 * 1024;

/**
 * Whether something lies before the first partition besides the table, as GRUB for BIOS and the U-Boot of many boards do. No
 * archive holds that.
 */
export async function hasBootCode(image: ByteReader, table: PartitionTable): Promise<boolean> {
  const start = await readExactly(image, 0, bootCodeBytes);
  if (start?.some((byte) => byte !== 0) === true) return true;
  const first = Math.min(longestGapBytes, ...table.partitions.map((partition) => partition.startByte));
  let position = (table.kind === 'gpt' ? gptSectors : 1) * imageSectorBytes;
  for (; position < first; position += chunkBytes) {
    const bytes = await readExactly(image, position, Math.min(chunkBytes, first - position));
    if (bytes?.some((byte) => byte !== 0) === true) return true;
  }
  return false;
}
