import type { PartitionTable } from '../disk/partition.ts';

/** What is known of an image after it was read to its end and proven. */
export interface ImageFacts {
  readonly path: string;
  readonly compression: 'gzip' | 'none';
  /** Size of the file as it lies on disk. */
  readonly fileBytes: number;
  /** sha256 of the file as it lies on disk, lower-case hex. */
  readonly fileSha256: string;
  /** Size of the image once inflated. */
  readonly sizeBytes: number;
  /** sha256 of each successive `chunkBytes` of the inflated image (the last one may be short), lower-case hex. */
  readonly chunkBytes: number;
  readonly chunkSha256: readonly string[];
  readonly table: PartitionTable;
  readonly kind: 'balena-raw' | 'balena-flasher' | 'unknown';
  /** balenaOS partitions by label (resin-boot, resin-data…): index into table.partitions. */
  readonly labels: Readonly<Record<string, number>>;
  /** `slug` of device-type.json in the boot partition. */
  readonly deviceType?: string;
  /** `VERSION` of os-release or image-version-info where found. */
  readonly version?: string;
}
