import type { PartitionTable } from '../disk/partition.ts';
import type { ByteRange } from '../host/host.ts';

/** Which bytes of an image must be written, since the others belong to no file and no table: safe whatever the disk held. */
export interface UsedBlocks {
  /** Ascending and apart. Whatever lies outside of partitions is in them. */
  readonly ranges: readonly ByteRange[];
  /** Partitions that count as used from end to end, by number in the table, and why. */
  readonly wholePartitions: readonly { readonly number: number; readonly why: string }[];
}

/** What is known of an image after it was read to its end and proven. */
export interface ImageFacts {
  readonly path: string;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Size of the file as it lies on disk. */
  readonly fileBytes: number;
  /** sha256 of the file as it lies on disk, lower-case hex. */
  readonly fileSha256: string;
  /** Size of the image once inflated. */
  readonly sizeBytes: number;
  /** What is written of it; absent: everything. */
  readonly usedBlocks?: UsedBlocks;
  /** sha256 of each chunk of what is written, in order, lower-case hex; `chunksOf` tells where they lie. */
  readonly chunkBytes: number;
  readonly chunkSha256: readonly string[];
  readonly table: PartitionTable;
  readonly kind: 'balena-raw' | 'balena-flasher' | 'unknown';
  /** balenaOS partitions by label (resin-boot, resin-data…): index into table.partitions. */
  readonly labels: Readonly<Record<string, number>>;
  /** Bytes that files can still take on resin-data as the image has it; absent where that is not known. */
  readonly dataFreeBytes?: number;
  /** `slug` of device-type.json in the boot partition. */
  readonly deviceType?: string;
  /** `VERSION` of os-release or image-version-info where found. */
  readonly version?: string;
}

/** Ranges of the inflated image that are written. */
export function writtenRanges(image: Pick<ImageFacts, 'sizeBytes' | 'usedBlocks'>): readonly ByteRange[] {
  return image.usedBlocks?.ranges ?? [{ startByte: 0, endByte: image.sizeBytes }];
}

/** Bytes that flashing an image writes. */
export function writtenBytes(image: Pick<ImageFacts, 'sizeBytes' | 'usedBlocks'>): number {
  return writtenRanges(image).reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
}
