// The boot sector and the file allocation table: "Microsoft FAT Specification" (2005), sections 3 and 4. Little-endian.
import { type ByteReader, MigrateError, readExactly } from '@migrate/core';

export interface FatGeometry {
  readonly type: 'FAT12' | 'FAT16' | 'FAT32';
  readonly tableStartByte: number;
  readonly clusterBytes: number;
  readonly clusterCount: number;
  readonly dataStartByte: number;
  /** FAT12 and FAT16 keep the root directory before the clusters; FAT32 in a chain of its own. */
  readonly root: { readonly startByte: number; readonly sizeBytes: number } | { readonly firstCluster: number };
}

const pageBytes = 64 * 1024;
const maximumFat12Clusters = 4084;
const maximumFat16Clusters = 65524;

/** Reads the boot sector. Throws `invalid-input` where there is no sound FAT. */
export async function readFatGeometry(reader: ByteReader): Promise<FatGeometry> {
  const sector = await readExactly(reader, 0, 512);
  if (sector === undefined || sector.readUInt16LE(510) !== 0xaa55) throw damaged('it has no boot sector');
  const sectorBytes = sector.readUInt16LE(11);
  const clusterSectors = sector.readUInt8(13);
  const reservedSectors = sector.readUInt16LE(14);
  const tables = sector.readUInt8(16);
  const isPowerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  if (![512, 1024, 2048, 4096].includes(sectorBytes) || !isPowerOfTwo(clusterSectors) || reservedSectors === 0) {
    throw damaged('its boot sector makes no sense');
  }
  const rootSectors = Math.ceil((sector.readUInt16LE(17) * 32) / sectorBytes);
  const totalSectors = sector.readUInt16LE(19) || sector.readUInt32LE(32);
  // As Linux does (fs/fat/inode.c), FAT32 is told by this field and not by the number of clusters.
  const isFat32 = sector.readUInt16LE(22) === 0;
  const tableSectors = isFat32 ? sector.readUInt32LE(36) : sector.readUInt16LE(22);
  const rootSector = reservedSectors + tables * tableSectors;
  const dataSector = rootSector + rootSectors;
  const clusterCount = Math.floor((totalSectors - dataSector) / clusterSectors);
  const type = isFat32 ? 'FAT32' : clusterCount > maximumFat12Clusters ? 'FAT16' : 'FAT12';
  const entryBits = { FAT12: 12, FAT16: 16, FAT32: 32 }[type];
  const needed = Math.ceil(((clusterCount + 2) * entryBits) / 8);
  if (tables === 0 || clusterCount < 1 || needed > tableSectors * sectorBytes)
    throw damaged('its sizes contradict each other');
  if (type === 'FAT16' && clusterCount > maximumFat16Clusters) throw damaged('it has too many clusters');
  return {
    type,
    tableStartByte: reservedSectors * sectorBytes,
    clusterBytes: clusterSectors * sectorBytes,
    clusterCount,
    dataStartByte: dataSector * sectorBytes,
    root: isFat32
      ? { firstCluster: sector.readUInt32LE(44) }
      : { startByte: rootSector * sectorBytes, sizeBytes: rootSectors * sectorBytes },
  };
}

/** Gives the cluster that follows another, or undefined at the end of a chain. Pages of the table are read once. */
export function fatTable(reader: ByteReader, geometry: FatGeometry): (cluster: number) => Promise<number | undefined> {
  const pages = new Map<number, Buffer>();
  const byteAt = async (offset: number): Promise<number> => {
    const index = Math.floor(offset / pageBytes);
    let page = pages.get(index);
    if (page === undefined) {
      page = Buffer.alloc(pageBytes);
      await reader.read(page, geometry.tableStartByte + index * pageBytes);
      // Enough for any FAT16; a FAT32 table of any size passes through.
      if (pages.size >= 8) pages.clear();
      pages.set(index, page);
    }
    return page[offset % pageBytes] ?? 0;
  };
  const entryAt = async (cluster: number): Promise<number> => {
    const offset = geometry.type === 'FAT12' ? cluster + (cluster >> 1) : cluster * (geometry.type === 'FAT16' ? 2 : 4);
    const low = (await byteAt(offset)) | ((await byteAt(offset + 1)) << 8);
    if (geometry.type === 'FAT16') return low;
    if (geometry.type === 'FAT12') return (cluster & 1) === 1 ? low >> 4 : low & 0xfff;
    // The upper four bits of a FAT32 entry are reserved.
    return (low | ((await byteAt(offset + 2)) << 16) | ((await byteAt(offset + 3)) << 24)) & 0x0fffffff;
  };
  const lowestEnd = { FAT12: 0xff8, FAT16: 0xfff8, FAT32: 0x0ffffff8 }[geometry.type];
  return async (cluster) => {
    const next = await entryAt(cluster);
    if (next >= lowestEnd) return undefined;
    checkCluster(geometry, next);
    return next;
  };
}

/** Throws where no such cluster exists; numbers start at 2. */
export function checkCluster(geometry: FatGeometry, cluster: number): void {
  if (cluster < 2 || cluster > geometry.clusterCount + 1) throw damaged(`a chain leads to cluster ${cluster}`);
}

export function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', `the FAT file system is damaged: ${why}`);
}
