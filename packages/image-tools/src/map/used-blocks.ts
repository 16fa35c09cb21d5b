// Which blocks of an image are in use: what a flash must write so that the new system reads nothing that an old one left.
import {
  type ByteRange,
  type ByteReader,
  type FileSystemSignature,
  isExtended,
  MigrateError,
  type Partition,
  type PartitionTable,
  type UsedBlocks,
  windowOf,
} from '@migrate/core';
import { mergeRanges, rangesBetween } from './ranges.ts';

/** What a file system says of itself, in bytes from its start. */
export interface FileSystemUse {
  /** Bytes that the file system takes of its partition. */
  readonly sizeBytes: number;
  readonly usedRanges: readonly ByteRange[];
}

/** Reads the use of a file system that starts at byte 0. Throws MigrateError for one that is not sound or not known. */
export type UseReader = (reader: ByteReader) => Promise<FileSystemUse>;

export interface UseReaders {
  readonly ext: UseReader;
  readonly fat: UseReader;
}

/** What counts as used of one partition, in bytes of the image. */
export interface PartitionUse {
  readonly number: number;
  readonly usedRanges: readonly ByteRange[];
  /** Why all of it counts as used; absent where its file system was understood. */
  readonly why?: string;
}

/** Gaps between used ranges that are cheaper to write than to leave out. */
const gapBytes = 64 * 1024;
/**
 * Both ends of a partition, where superblocks of every kind lie (btrfs at 64 KiB; RAID, ZFS and others at the end): what an old
 * system left there would make the new one's file system ambiguous to those who look for it by its label.
 */
const partitionEdgeBytes = 512 * 1024;
/** Protective MBR, GPT header and its entries (UEFI specification 2.10, 5.3). */
const tableBytes = 34 * 512;
/** Keeps map and plan small for a file system in splinters: from here on larger gaps are written. */
const maximumRanges = 4096;

/** Messages quote what damaged file systems say. */
const maximumWhy = 300;

/** What of a partition is used. Whatever is not understood, not clean or damaged counts as used from end to end. */
export async function readPartitionUse(
  reader: ByteReader,
  { partition, signature, readers }: { partition: Partition; signature?: FileSystemSignature; readers: UseReaders },
): Promise<PartitionUse> {
  const { number, startByte, sizeBytes } = partition;
  const whole = (why: string): PartitionUse => ({
    number,
    usedRanges: [{ startByte, endByte: startByte + sizeBytes }],
    why,
  });
  const readUse = useReaderFor(signature, readers);
  if (readUse === undefined)
    return whole(signature === undefined ? 'what it holds is not known' : `it holds ${signature.type}`);
  try {
    const use = await readUse(windowOf(reader, startByte, sizeBytes));
    if (use.sizeBytes > sizeBytes) return whole('its file system is larger than the partition');
    return { number, usedRanges: rangesInImage(use, partition) };
  } catch (thrown) {
    // An image that cannot be read is found out when it is read to its end.
    if (!(thrown instanceof MigrateError) || thrown.code === 'read-failed') throw thrown;
    return whole(thrown.message.slice(0, maximumWhy));
  }
}

function useReaderFor(signature: FileSystemSignature | undefined, readers: UseReaders): UseReader | undefined {
  switch (signature?.type) {
    case 'ext2':
    case 'ext3':
    case 'ext4':
      return readers.ext;
    case 'vfat':
      return readers.fat;
    default:
      return undefined;
  }
}

/** Behind a file system may stand what belongs to another layer, such as a hash tree. */
function rangesInImage(use: FileSystemUse, partition: Partition): ByteRange[] {
  const parts = [
    { startByte: 0, endByte: Math.min(partitionEdgeBytes, partition.sizeBytes) },
    ...use.usedRanges,
    { startByte: Math.max(0, partition.sizeBytes - partitionEdgeBytes), endByte: partition.sizeBytes },
    { startByte: use.sizeBytes, endByte: partition.sizeBytes },
  ];
  return parts.map((part) => ({
    startByte: partition.startByte + part.startByte,
    endByte: partition.startByte + Math.min(part.endByte, partition.sizeBytes),
  }));
}

/** Partitions that hold data themselves, by their place: an extended one only holds others and their records. */
export function realPartitions(table: PartitionTable): readonly Partition[] {
  const real = table.partitions.filter((partition) => table.kind === 'gpt' || !isExtended(partition.type));
  return [...real].sort((a, b) => a.startByte - b.startByte);
}

/** The map of an image of `sizeBytes` (more than any image has, where that is not yet known) from the use of its partitions. */
export function usedBlocksOf(table: PartitionTable, uses: readonly PartitionUse[], sizeBytes: number): UsedBlocks {
  const all = [...rangesOutsidePartitions(table, sizeBytes), ...uses.flatMap((use) => use.usedRanges)];
  let ranges = mergeRanges(all, gapBytes);
  for (let gap = gapBytes * 2; ranges.length > maximumRanges; gap *= 2) ranges = mergeRanges(all, gap);
  return {
    ranges,
    wholePartitions: uses.flatMap(({ number, why }) => (why === undefined ? [] : [{ number, why }])),
  };
}

/** Tables, extended boot records, boot loaders in the gaps: used, whatever they hold. */
export function rangesOutsidePartitions(table: PartitionTable, sizeBytes: number): readonly ByteRange[] {
  const partitions = realPartitions(table).map((partition) => ({
    startByte: partition.startByte,
    endByte: partition.startByte + partition.sizeBytes,
  }));
  const whole = { startByte: 0, endByte: sizeBytes };
  return mergeRanges([{ startByte: 0, endByte: tableBytes }, ...rangesBetween(mergeRanges(partitions), whole)]);
}
