// The file allocation table: "Microsoft FAT Specification" (2005), section 4.
import { type ByteRange, type ByteReader, readExactly } from '@migrate/core';
import { checkCluster, clusterStart, damaged, entriesBytes, type FatGeometry, type FatType } from './fat-geometry.ts';

/** An even number, so that no FAT12 entry, of one and a half bytes, lies across two pages. */
const pageEntries = 32 * 1024;
const cachedPages = 8;
/** Lowest value that ends a chain; the one before it marks a bad cluster. */
const lowestEnd: Readonly<Record<FatType, number>> = { FAT12: 0xff8, FAT16: 0xfff8, FAT32: 0x0ffffff8 };

/** Entry number `index` of a table or of a page of it; of FAT32 only the 28 bits that count. */
export function tableEntry(type: FatType, table: Buffer, index: number): number {
  if (type === 'FAT16') return table.readUInt16LE(index * 2);
  if (type === 'FAT32') return table.readUInt32LE(index * 4) & 0x0fffffff;
  const low = table.readUInt16LE(index + (index >> 1));
  return (index & 1) === 1 ? low >> 4 : low & 0xfff;
}

export function endsChain(type: FatType, entry: number): boolean {
  return entry >= lowestEnd[type];
}

export function isBadCluster(type: FatType, entry: number): boolean {
  return entry === lowestEnd[type] - 1;
}

export interface FatTable {
  /** The cluster behind another, or undefined at the end of a chain; throws `invalid-input` where the chain is broken. */
  next(cluster: number): Promise<number | undefined>;
}

/** Follows chains in the first table. Few pages are kept, so that memory is bounded whatever its size. */
export function fatTable(reader: ByteReader, geometry: FatGeometry): FatTable {
  const pages = new Map<number, Buffer>();
  const pageOf = async (number: number): Promise<Buffer> => {
    const known = pages.get(number);
    if (known !== undefined) return known;
    const page = await readPage(reader, geometry, number);
    if (pages.size >= cachedPages) pages.clear();
    pages.set(number, page);
    return page;
  };
  return {
    next: async (cluster) => {
      const page = await pageOf(Math.floor(cluster / pageEntries));
      const entry = tableEntry(geometry.type, page, cluster % pageEntries);
      if (endsChain(geometry.type, entry)) return undefined;
      if (isBadCluster(geometry.type, entry)) throw damaged(`a chain leads to the bad cluster ${cluster}`);
      checkCluster(geometry, entry);
      return entry;
    },
  };
}

async function readPage(reader: ByteReader, geometry: FatGeometry, number: number): Promise<Buffer> {
  const startByte = entriesBytes(geometry.type, number * pageEntries);
  const endEntry = Math.min((number + 1) * pageEntries, geometry.clusterCount + 2);
  const endByte = entriesBytes(geometry.type, endEntry);
  const page = await readExactly(reader, geometry.tableStartByte + startByte, endByte - startByte);
  if (page === undefined) throw damaged('its allocation table is cut off');
  return page;
}

export interface FatUsage {
  readonly freeClusters: number;
  readonly badClusters: number;
  /**
   * All bytes that make the file system, ascending and apart: everything before the first cluster (boot sectors, FSInfo,
   * tables, root directory), and the clusters that are neither free nor bad.
   */
  readonly usedRanges: readonly ByteRange[];
}

/** A file system with more pieces than this gets ranges that hold some free clusters too. */
const maximumRanges = 256 * 1024;

/** Reads the whole table once. Lost chains count as used. */
export async function readFatUsage(reader: ByteReader, geometry: FatGeometry): Promise<FatUsage> {
  let usedRanges = [{ startByte: 0, endByte: geometry.dataStartByte }];
  let [freeClusters, badClusters] = [0, 0];
  const endCluster = geometry.clusterCount + 2;
  for (let number = 0; number * pageEntries < endCluster; number += 1) {
    const page = await readPage(reader, geometry, number);
    const entries = Math.min(pageEntries, endCluster - number * pageEntries);
    for (let index = number === 0 ? 2 : 0; index < entries; index += 1) {
      const entry = tableEntry(geometry.type, page, index);
      if (entry === 0) freeClusters += 1;
      else if (isBadCluster(geometry.type, entry)) badClusters += 1;
      else appendCluster(usedRanges, geometry, number * pageEntries + index);
    }
    if (usedRanges.length > maximumRanges) usedRanges = mergePairs(usedRanges);
  }
  return { freeClusters, badClusters, usedRanges };
}

function appendCluster(ranges: { startByte: number; endByte: number }[], geometry: FatGeometry, cluster: number): void {
  const startByte = clusterStart(geometry, cluster);
  const endByte = startByte + geometry.clusterBytes;
  const last = ranges.at(-1);
  if (last?.endByte === startByte) last.endByte = endByte;
  else ranges.push({ startByte, endByte });
}

function mergePairs(ranges: readonly { startByte: number; endByte: number }[]) {
  return ranges
    .filter((_, index) => index % 2 === 0)
    .map(({ startByte, endByte }, index) => ({ startByte, endByte: ranges[index * 2 + 1]?.endByte ?? endByte }));
}
