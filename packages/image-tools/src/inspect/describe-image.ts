// All that can be told of an image by looking into it.
import {
  type ByteReader,
  type FileSystemSetting,
  isExtended,
  MigrateError,
  type Partition,
  readFileSystemSignature,
} from '@migrate/core';
import { hasBootCode } from '../extract/boot-code.ts';
import { openPartitionTree } from '../extract/partition-tree.ts';
import { openInnerImage } from '../flasher/inner-image.ts';
import { type Inspection, inspectImage } from './inspect-image.ts';

export interface PartitionDescription {
  readonly partition: Partition;
  readonly isExtended: boolean;
  /** Of the file system, else of the table. */
  readonly label?: string;
  /** Where it could be read. */
  readonly fileSystem?: FileSystemSetting;
  readonly usedBytes?: number;
  readonly freeBytes?: number;
  /** Why it could not be read. */
  readonly problem?: string;
}

export interface ImageDescription {
  readonly sizeBytes: number;
  readonly inspection: Inspection;
  readonly partitions: readonly PartitionDescription[];
  /** Something lies before the first partition besides the table. */
  readonly hasBootCode: boolean;
  /** Of a flasher image. */
  readonly innerImage?: { readonly path: string; readonly sizeBytes: number; readonly inspection: Inspection };
  /** Why the inner image of a flasher image could not be found. */
  readonly innerProblem?: string;
}

/** Throws `wrong-image` where there is no partition table; what cannot be read inside of partitions is told of each. */
export async function describeImage(image: ByteReader): Promise<ImageDescription> {
  const inspection = await inspectImage(image, { readsBackup: true });
  const partitions: PartitionDescription[] = [];
  for (const partition of inspection.table.partitions) {
    const isOuter = inspection.table.kind === 'mbr' && isExtended(partition.type);
    partitions.push(isOuter ? { partition, isExtended: true } : await describePartition(image, partition));
  }
  return {
    sizeBytes: image.sizeBytes,
    inspection,
    partitions,
    hasBootCode: await hasBootCode(image, inspection),
    ...(inspection.kind === 'balena-flasher' ? await describeInner(image, inspection) : {}),
  };
}

async function describePartition(image: ByteReader, partition: Partition): Promise<PartitionDescription> {
  const signature = await readFileSystemSignature(image, partition.startByte, partition.sizeBytes);
  const label = signature?.label ?? partition.name;
  const known = { partition, isExtended: false, ...(label === undefined ? {} : { label }) };
  if (signature === undefined) return { ...known, problem: 'no known file system' };
  try {
    const { fileSystem, usedBytes, freeBytes } = await openPartitionTree(image, partition);
    return { ...known, fileSystem, usedBytes, freeBytes };
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return { ...known, problem: thrown.message };
  }
}

async function describeInner(
  image: ByteReader,
  inspection: Inspection,
): Promise<Pick<ImageDescription, 'innerImage' | 'innerProblem'>> {
  try {
    const inner = await openInnerImage(image, inspection);
    return { innerImage: { path: inner.path, sizeBytes: inner.reader.sizeBytes, inspection: inner.inspection } };
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return { innerProblem: thrown.message };
  }
}
