// The boot sector: "Microsoft FAT Specification" (2005), section 3. Little-endian.
import { type ByteReader, MigrateError, readExactly } from '@migrate/core';

export type FatType = 'FAT12' | 'FAT16' | 'FAT32';

export interface FatGeometry {
  readonly type: FatType;
  /** From the boot sector to the end of the last cluster; a few sectors behind it may be left over in the partition. */
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  readonly clusterBytes: number;
  /** Clusters are numbered from 2 to clusterCount + 1. */
  readonly clusterCount: number;
  /** Copies of the file allocation table, one behind the other. */
  readonly tableCount: number;
  readonly tableStartByte: number;
  readonly tableBytes: number;
  readonly dataStartByte: number;
  /** FAT12 and FAT16 keep the root directory before the clusters; FAT32 in a chain of its own. */
  readonly root: { readonly startByte: number; readonly sizeBytes: number } | { readonly firstCluster: number };
  /** FAT32 only: the FSInfo sector, which holds the number of free clusters. */
  readonly infoStartByte?: number;
  /** Volume serial number as /dev/disk/by-uuid writes it: "ABCD-1234". */
  readonly serial?: string;
  /** The label's copy in the boot sector; the one in the root directory counts. */
  readonly bootLabel?: string;
}

const maximumFat12Clusters = 4084;
const maximumFat16Clusters = 65524;
/** 0x0ffffff7 marks bad clusters and must not be a cluster's number. */
const maximumFat32Clusters = 0x0ffffff5;
const directoryEntryBytes = 32;

/** Reads the boot sector. Throws `invalid-input` where there is no sound FAT. */
export async function readFatGeometry(reader: ByteReader): Promise<FatGeometry> {
  const sector = await readExactly(reader, 0, 512);
  if (sector === undefined || sector.readUInt16LE(510) !== 0xaa55) throw damaged('it has no boot sector');
  const geometry = geometryOf(sector);
  if (geometry.sizeBytes > reader.sizeBytes) {
    throw damaged(`it claims ${geometry.sizeBytes} bytes, more than the ${reader.sizeBytes} of its partition`);
  }
  return geometry;
}

function geometryOf(sector: Buffer): FatGeometry {
  const sectorBytes = sector.readUInt16LE(11);
  const clusterSectors = sector.readUInt8(13);
  const reservedSectors = sector.readUInt16LE(14);
  const tableCount = sector.readUInt8(16);
  const rootBytes = sector.readUInt16LE(17) * directoryEntryBytes;
  const media = sector.readUInt8(21);
  const totalSectors = sector.readUInt16LE(19) || sector.readUInt32LE(32);
  const isPowerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  if (![512, 1024, 2048, 4096].includes(sectorBytes) || !isPowerOfTwo(clusterSectors) || reservedSectors === 0) {
    throw damaged('its boot sector makes no sense');
  }
  if (media < 0xf8 && media !== 0xf0) throw damaged('its boot sector names no kind of medium');
  // As Linux does (fs/fat/inode.c), FAT32 is told by this field and not by the number of clusters.
  const isFat32 = sector.readUInt16LE(22) === 0;
  const tableSectors = isFat32 ? sector.readUInt32LE(36) : sector.readUInt16LE(22);
  const rootSector = reservedSectors + tableCount * tableSectors;
  const dataSector = rootSector + Math.ceil(rootBytes / sectorBytes);
  const clusterCount = Math.floor((totalSectors - dataSector) / clusterSectors);
  const type = isFat32 ? 'FAT32' : clusterCount > maximumFat12Clusters ? 'FAT16' : 'FAT12';
  if (tableCount === 0 || clusterCount < 1 || entriesBytes(type, clusterCount + 2) > tableSectors * sectorBytes) {
    throw damaged('its sizes contradict each other');
  }
  if (clusterCount > (isFat32 ? maximumFat32Clusters : maximumFat16Clusters)) throw damaged('it has too many clusters');
  if (isFat32) checkFat32(sector);
  return {
    type,
    sizeBytes: totalSectors * sectorBytes,
    sectorBytes,
    clusterBytes: clusterSectors * sectorBytes,
    clusterCount,
    tableCount,
    tableStartByte: reservedSectors * sectorBytes,
    tableBytes: tableSectors * sectorBytes,
    dataStartByte: dataSector * sectorBytes,
    root: isFat32
      ? { firstCluster: sector.readUInt32LE(44) }
      : { startByte: rootSector * sectorBytes, sizeBytes: rootBytes },
    ...infoSector(sector, { isFat32, reservedSectors, sectorBytes }),
    ...names(sector, isFat32 ? 64 : 36),
  };
}

/** Bytes that so many entries of a table take. */
export function entriesBytes(type: FatType, count: number): number {
  return Math.ceil((count * { FAT12: 12, FAT16: 16, FAT32: 32 }[type]) / 8);
}

function checkFat32(sector: Buffer): void {
  if (sector.readUInt16LE(42) !== 0) throw new MigrateError('unsupported', 'the FAT file system is of a later version');
  const flags = sector.readUInt16LE(40);
  // With mirroring off, another table than the first may count; Linux knows nothing of it.
  if ((flags & 0x80) !== 0 && (flags & 0x0f) !== 0) {
    throw new MigrateError('unsupported', 'the FAT file system does not use its first allocation table');
  }
}

function infoSector(
  sector: Buffer,
  { isFat32, reservedSectors, sectorBytes }: { isFat32: boolean; reservedSectors: number; sectorBytes: number },
): Pick<FatGeometry, 'infoStartByte'> {
  const number = sector.readUInt16LE(48);
  return isFat32 && number > 0 && number < reservedSectors ? { infoStartByte: number * sectorBytes } : {};
}

/** Serial number and label stand behind a mark at `extended` + 2: 0x29 for both, 0x28 for the serial alone. */
function names(sector: Buffer, extended: number): Pick<FatGeometry, 'serial' | 'bootLabel'> {
  const mark = sector.readUInt8(extended + 2);
  if (mark !== 0x28 && mark !== 0x29) return {};
  const digits = sector
    .readUInt32LE(extended + 3)
    .toString(16)
    .toUpperCase()
    .padStart(8, '0');
  const serial = `${digits.slice(0, 4)}-${digits.slice(4)}`;
  const label = mark === 0x29 ? sector.toString('latin1', extended + 7, extended + 18).replace(/[\0 ]+$/, '') : '';
  return { serial, ...(label === '' || label === 'NO NAME' ? {} : { bootLabel: label }) };
}

/** Where the contents of a cluster begin. */
export function clusterStart(geometry: FatGeometry, cluster: number): number {
  return geometry.dataStartByte + (cluster - 2) * geometry.clusterBytes;
}

/** Throws where no such cluster exists. */
export function checkCluster(geometry: FatGeometry, cluster: number): void {
  if (cluster < 2 || cluster > geometry.clusterCount + 1) throw damaged(`a chain leads to cluster ${cluster}`);
}

export function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', `the FAT file system is damaged: ${why}`);
}
