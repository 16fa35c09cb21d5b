import { type HostReader, isExtended, MigrateError, readFileSystemSignature, readPartitionTable } from '@migrate/core';

export interface ImagePartition {
  readonly number: number;
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly kind: 'mbr' | 'gpt';
  /** Whether no other partition lies behind it, so that it can grow. */
  readonly isLast: boolean;
  /** Number of the extended partition that a logical one lies in. */
  readonly extendedNumber?: number;
}

const sectorBytes = 512;

/**
 * The partition of a raw disk image whose file system has this label. Throws `wrong-image` where there is no partition table or
 * no such partition: the image is compressed, a flasher image, or no image of balenaOS.
 */
export async function findPartition(host: HostReader, path: string, label: string): Promise<ImagePartition> {
  const reader = await host.openRead(path);
  try {
    const table = await readPartitionTable(reader, sectorBytes);
    if (table === undefined) {
      throw new MigrateError('wrong-image', `${path} has no partition table: if it is compressed, unpack it first`);
    }
    const extended = table.kind === 'mbr' ? table.partitions.find(({ type }) => isExtended(type)) : undefined;
    // An extended partition is only the frame of those in it.
    const real = table.partitions.filter((partition) => partition !== extended);
    const end = Math.max(...real.map(({ startByte, sizeBytes }) => startByte + sizeBytes));
    for (const { number, startByte, sizeBytes } of real) {
      const signature = await readFileSystemSignature(reader, startByte);
      if (signature?.label !== label) continue;
      return {
        number,
        startByte,
        sizeBytes,
        kind: table.kind,
        isLast: startByte + sizeBytes === end,
        ...(number > 4 && extended !== undefined ? { extendedNumber: extended.number } : {}),
      };
    }
    const hint = 'of a flasher image, take the inner image out first (balena-extract --img)';
    throw new MigrateError('wrong-image', `${path} has no partition ${label}; ${hint}`);
  } finally {
    await reader.close();
  }
}
