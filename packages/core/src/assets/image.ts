import { createHash } from 'node:crypto';
import type { FsImageSetting, PartitionName } from '../config/config.ts';
import type { PartitionTable } from '../disk/partition.ts';
import type { ByteRange } from '../host/host.ts';
import type { AssetFile } from './asset-file.ts';

/** Which bytes of an image must be written, since the others belong to no file and no table: safe whatever the disk held. */
export interface UsedBlocks {
  /** Ascending and apart. Whatever lies outside of partitions is in them. */
  readonly ranges: readonly ByteRange[];
  /** Partitions that count as used from end to end, by number in the table, and why. */
  readonly wholePartitions: readonly { readonly number: number; readonly why: string }[];
}

/** What is known of the system that an image makes, in whatever form the image comes. */
interface SystemFacts {
  /** Size that it takes on the disk, from the disk's start. */
  readonly sizeBytes: number;
  readonly table: PartitionTable;
  /** balenaOS partitions by label (resin-boot, resin-data…): index into table.partitions. */
  readonly labels: Readonly<Record<string, number>>;
  /** Bytes that files can still take on resin-data as the image has it, at the least; absent where that is not known. */
  readonly dataFreeBytes?: number;
  /** `slug` of device-type.json in the boot partition. */
  readonly deviceType?: string;
  /** `VERSION` of os-release or image-version-info where found. */
  readonly version?: string;
}

/** What is known of an image after it was read to its end and proven. */
export interface ImageFacts extends SystemFacts {
  readonly path: string;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Size of the file as it lies on disk. */
  readonly fileBytes: number;
  /** sha256 of the file as it lies on disk, lower-case hex. */
  readonly fileSha256: string;
  /** What is written of it; absent: everything. */
  readonly usedBlocks?: UsedBlocks;
  /** sha256 of each chunk of what is written, in order, lower-case hex; `chunksOf` tells where they lie. */
  readonly chunkBytes: number;
  readonly chunkSha256: readonly string[];
  readonly kind: 'balena-raw' | 'balena-flasher' | 'unknown';
  /** Nothing but zeros lies between its MBR and its first partition; absent also where that is not known. */
  readonly hasEmptyGap?: true;
}

/** What is known of an image in the form of one archive for each partition, after all were read to their ends. */
export interface ArchivesFacts extends SystemFacts {
  /** As configured, but with what identifies disk and partitions filled in. */
  readonly setting: FsImageSetting;
  readonly archives: Readonly<Record<PartitionName, AssetFile & Pick<ImageFacts, 'compression'>>>;
}

export type TargetImage = ImageFacts | ArchivesFacts;

/** Whether an image is written file system by file system. */
export function isArchived(image: TargetImage): image is ArchivesFacts {
  return 'archives' in image;
}

/** Partition names in the order of their numbers. */
export const partitionNames: readonly PartitionName[] = ['boot', 'rootA', 'rootB', 'state', 'data'];

/** The files that an image consists of. */
export function filesOf(image: TargetImage): readonly (AssetFile & { readonly payload: string })[] {
  if (!isArchived(image))
    return [{ payload: 'image', path: image.path, sizeBytes: image.fileBytes, sha256: image.fileSha256 }];
  return partitionNames.map((name) => ({ payload: archivePayload(name), ...image.archives[name] }));
}

/** Names of its files among the payload files. */
export function imagePayloads(image: TargetImage): ReadonlySet<string> {
  return new Set(filesOf(image).map(({ payload }) => payload));
}

/** What tells this image from all others, lower-case hex. */
export function digestOf(image: TargetImage): string {
  if (!isArchived(image)) return image.fileSha256;
  const hash = createHash('sha256');
  for (const { payload, sha256 } of filesOf(image)) hash.update(`${payload} ${sha256}\n`);
  return hash.digest('hex');
}

/** Name of a partition's archive among the payload files. */
export function archivePayload(name: PartitionName): string {
  return `archive-${name}`;
}

/** Ranges of the inflated image that are written. */
export function writtenRanges(image: Pick<ImageFacts, 'sizeBytes' | 'usedBlocks'>): readonly ByteRange[] {
  return image.usedBlocks?.ranges ?? [{ startByte: 0, endByte: image.sizeBytes }];
}

/** Bytes that flashing an image writes. */
export function writtenBytes(image: Pick<ImageFacts, 'sizeBytes' | 'usedBlocks'>): number {
  return writtenRanges(image).reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
}
