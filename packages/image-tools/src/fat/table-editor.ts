// The file allocation table in memory, changed there first and then written to all of its copies.
import { type ByteWriter, MigrateError, readExactly } from '@migrate/core';
import { checkCluster, damaged, entriesBytes, type FatGeometry, type FatType } from './fat-geometry.ts';
import { endsChain, tableEntry } from './fat-table.ts';

export interface TableEditor {
  freeClusters(): number;
  /** The cluster that was allocated last. */
  lastAllocated(): number | undefined;
  /** The cluster behind another, or undefined at the end of a chain; throws `invalid-input` where the chain is broken. */
  next(cluster: number): number | undefined;
  /** A new chain of so many clusters; throws `no-space`. */
  allocate(count: number): readonly number[];
  /** Puts a new chain behind the last cluster of one in use. */
  append(lastCluster: number, firstCluster: number): void;
  /** Frees clusters. */
  free(clusters: readonly number[]): void;
  /**
   * Writes what was changed since the last call, sector by sector, to all copies; not durable before a flush. What is appended
   * to a chain in use is durable before the chain leads to it.
   */
  write(target: ByteWriter): Promise<void>;
}

/** That of a file system of 2 GiB with clusters of 512 bytes; those that people make have a hundredth of it. */
const maximumTableBytes = 16 * 1024 * 1024;
const endOfChain: Readonly<Record<FatType, number>> = { FAT12: 0xfff, FAT16: 0xffff, FAT32: 0x0fffffff };

/** Reads all copies of the table. Throws `invalid-input` where they differ, and `unsupported` for a table beyond 16 MiB. */
export async function editTable(target: ByteWriter, geometry: FatGeometry): Promise<TableEditor> {
  const { type, sectorBytes } = geometry;
  const table = await readTable(target, geometry);
  const changed = new Set<number>();
  const links: { readonly lastCluster: number; readonly firstCluster: number }[] = [];
  let free = 0;
  let lowestFree = 2;
  let lastAllocated: number | undefined;
  for (let cluster = 2; cluster < geometry.clusterCount + 2; cluster += 1) {
    if (tableEntry(type, table, cluster) === 0) free += 1;
  }

  const set = (cluster: number, entry: number): void => {
    const offset = writeEntry(type, table, cluster, entry);
    // A FAT12 entry may lie across two sectors.
    for (const byte of [offset, offset + 1]) changed.add(Math.floor(byte / sectorBytes));
  };
  const nextFree = (): number => {
    while (tableEntry(type, table, lowestFree) !== 0) lowestFree += 1;
    return lowestFree;
  };

  const writeChanged = async (target: ByteWriter): Promise<void> => {
    for (const sector of [...changed].sort((a, b) => a - b)) {
      const offset = sector * sectorBytes;
      for (let copy = 0; copy < geometry.tableCount; copy += 1) {
        const place = geometry.tableStartByte + copy * geometry.tableBytes + offset;
        await target.write(table.subarray(offset, offset + sectorBytes), place);
      }
    }
    changed.clear();
  };

  return {
    freeClusters: () => free,
    lastAllocated: () => lastAllocated,
    next: (cluster) => {
      const entry = tableEntry(type, table, cluster);
      if (endsChain(type, entry)) return undefined;
      checkCluster(geometry, entry);
      return entry;
    },
    allocate: (count) => {
      if (count > free) {
        const [needed, left] = [count, free].map((clusters) => clusters * geometry.clusterBytes);
        throw new MigrateError(
          'no-space',
          `the FAT file system is full: ${needed} bytes more are needed, ${left} free`,
        );
      }
      const clusters: number[] = [];
      for (let index = 0; index < count; index += 1) {
        const cluster = nextFree();
        const before = clusters.at(-1);
        if (before !== undefined) set(before, cluster);
        set(cluster, endOfChain[type]);
        clusters.push(cluster);
        lastAllocated = cluster;
      }
      free -= count;
      return clusters;
    },
    append: (lastCluster, firstCluster) => {
      links.push({ lastCluster, firstCluster });
    },
    free: (clusters) => {
      for (const cluster of clusters) {
        set(cluster, 0);
        lowestFree = Math.min(lowestFree, cluster);
      }
      free += clusters.length;
    },
    write: async (target) => {
      await writeChanged(target);
      if (links.length === 0) return;
      await target.flush();
      for (const { lastCluster, firstCluster } of links.splice(0)) set(lastCluster, firstCluster);
      await writeChanged(target);
    },
  };
}

async function readTable(target: ByteWriter, geometry: FatGeometry): Promise<Buffer> {
  const { type, clusterCount, tableBytes, tableStartByte, tableCount } = geometry;
  if (tableBytes > maximumTableBytes) {
    throw new MigrateError('unsupported', 'the FAT file system is too large to write into; mount it instead');
  }
  const read = async (copy: number): Promise<Buffer> => {
    const table = await readExactly(target, tableStartByte + copy * tableBytes, tableBytes);
    if (table === undefined) throw damaged('its allocation table is cut off');
    return table;
  };
  const first = await read(0);
  // What stands behind the entry of the last cluster means nothing.
  const endByte = entriesBytes(type, clusterCount + 2);
  for (let copy = 1; copy < tableCount; copy += 1) {
    if (first.compare(await read(copy), 0, endByte, 0, endByte) !== 0) {
      throw damaged('the copies of its allocation table differ; repair it with fsck.vfat');
    }
  }
  return first;
}

/** Returns the offset of the entry in the table. */
function writeEntry(type: FatType, table: Buffer, cluster: number, entry: number): number {
  if (type === 'FAT16') {
    table.writeUInt16LE(entry, cluster * 2);
    return cluster * 2;
  }
  if (type === 'FAT32') {
    // The upper four bits are reserved and stay as they are (section 4.1).
    const reserved = table.readUInt32LE(cluster * 4) & 0xf0000000;
    table.writeUInt32LE((reserved | entry) >>> 0, cluster * 4);
    return cluster * 4;
  }
  const offset = cluster + (cluster >> 1);
  const before = table.readUInt16LE(offset);
  table.writeUInt16LE((cluster & 1) === 1 ? (before & 0x000f) | (entry << 4) : (before & 0xf000) | entry, offset);
  return offset;
}
