import { type ByteReader, readExactly } from '@migrate/core';
import type { Inspection } from '../inspect/inspect-image.ts';

const chunkBytes = 1024 * 1024;
/** Boot code of an MBR ends where the identity of the disk begins. */
const bootCodeBytes = 440;
/** UEFI specification 2.10, section 5.3.1: behind sectors 0 and 1 the entries take 16 KiB. */
const gptEntriesBytes = 16 * 1024;
/** Boot loaders are of some MiB; no more of a gap is read than this. */
const longestGapBytes = 64 * 1024 * 1024;

/**
 * Whether something lies before the first partition besides the table, as GRUB for BIOS and the U-Boot of many boards do. No
 * archive holds that.
 */
export async function hasBootCode(
  image: ByteReader,
  { table, sectorBytes }: Pick<Inspection, 'table' | 'sectorBytes'>,
): Promise<boolean> {
  const start = await readExactly(image, 0, bootCodeBytes);
  if (start?.some((byte) => byte !== 0) === true) return true;
  const first = Math.min(longestGapBytes, ...table.partitions.map((partition) => partition.startByte));
  let position = table.kind === 'gpt' ? 2 * sectorBytes + gptEntriesBytes : sectorBytes;
  for (; position < first; position += chunkBytes) {
    const bytes = await readExactly(image, position, Math.min(chunkBytes, first - position));
    if (bytes?.some((byte) => byte !== 0) === true) return true;
  }
  return false;
}
