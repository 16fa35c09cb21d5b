// A directory in memory: entries are added and changed there first, and then written sector by sector.
import { type ByteWriter, MigrateError } from '@migrate/core';
import { placeInClusters } from './directory-bytes.ts';
import {
  attributeDirectory,
  attributeLongName,
  deletedMark,
  directoryEntryBytes,
  type FatDirectoryBytes,
  type FatEntry,
  maximumDirectoryBytes,
  parseFatDirectory,
} from './fat-directory.ts';
import { clusterStart, type FatGeometry } from './fat-geometry.ts';
import { checkFatName, fatName } from './fat-name.ts';
import type { FatTime } from './fat-time.ts';
import type { TableEditor } from './table-editor.ts';

/** What an entry says besides its name. */
export interface EntryFields {
  readonly firstCluster: number;
  readonly sizeBytes: number;
  readonly attributes: number;
  readonly time: FatTime;
}

export interface DirectoryEditor {
  entries(): readonly FatEntry[];
  /**
   * Returns the inode of the new entry. Throws `invalid-input` for a name that cannot be, `no-space` where the directory or
   * the file system is full.
   */
  add(name: string, fields: EntryFields): number;
  /** Gives an entry other contents; its name and time of creation stay. */
  replace(entry: FatEntry, fields: EntryFields): void;
  /** Writes the clusters that nothing leads to yet; to be done before the allocation table. */
  writeNewClusters(target: ByteWriter): Promise<void>;
  /** Writes what changed in clusters that the directory had; to be done last. */
  writeChanges(target: ByteWriter): Promise<void>;
}

export interface DirectoryEditorOptions {
  readonly geometry: FatGeometry;
  readonly table: TableEditor;
}

/** Edits a directory that exists. */
export function editDirectory(
  directory: FatDirectoryBytes,
  { geometry, table }: DirectoryEditorOptions,
): DirectoryEditor {
  return directoryEditor({ geometry, table, directory, isNew: false });
}

/** A new directory, in a cluster that was allocated for it; `parentCluster` is 0 for the root. */
export function newDirectory(
  { geometry, table }: DirectoryEditorOptions,
  { cluster, parentCluster, time }: { cluster: number; parentCluster: number; time: FatTime },
): DirectoryEditor {
  const bytes = Buffer.alloc(geometry.clusterBytes);
  [cluster, parentCluster].forEach((firstCluster, index) => {
    const short = Buffer.from('.'.repeat(index + 1).padEnd(11), 'latin1');
    newEntry(short, { firstCluster, sizeBytes: 0, attributes: attributeDirectory, time }).copy(
      bytes,
      index * directoryEntryBytes,
    );
  });
  const clusters = [cluster];
  const placeOf = (offset: number): number => placeInClusters(geometry, clusters, offset);
  return directoryEditor({ geometry, table, directory: { bytes, clusters, placeOf }, isNew: true });
}

interface EditedDirectory extends DirectoryEditorOptions {
  readonly directory: FatDirectoryBytes;
  readonly isNew: boolean;
}

function directoryEditor({ geometry, table, directory, isNew }: EditedDirectory): DirectoryEditor {
  const { sectorBytes, clusterBytes } = geometry;
  let { bytes } = directory;
  const firstNewCluster = isNew ? 0 : directory.clusters.length;
  const clusters = [...directory.clusters];
  const changedSectors = new Set<number>();
  const placeOf = (offset: number): number =>
    clusters.length === 0 ? directory.placeOf(offset) : placeInClusters(geometry, clusters, offset);

  const put = (offset: number, entry: Buffer): void => {
    entry.copy(bytes, offset);
    changedSectors.add(Math.floor(offset / sectorBytes));
  };

  const grow = (): void => {
    const last = clusters.at(-1);
    if (last === undefined || bytes.length + clusterBytes > maximumDirectoryBytes) {
      throw new MigrateError('no-space', 'the directory in the FAT file system has no room for more entries');
    }
    const [added = 0] = table.allocate(1);
    table.append(last, added);
    clusters.push(added);
    bytes = Buffer.concat([bytes, Buffer.alloc(clusterBytes)]);
  };

  /** Offset of so many free entries in a row; deleted ones are used again. */
  const findRoom = (count: number): number => {
    let start = 0;
    const endOffset = usedBytes(bytes);
    for (let offset = 0; offset < endOffset; offset += directoryEntryBytes) {
      if (bytes[offset] !== deletedMark) start = offset + directoryEntryBytes;
      else if (offset + directoryEntryBytes - start >= count * directoryEntryBytes) return start;
    }
    while (bytes.length - start < count * directoryEntryBytes) grow();
    return start;
  };

  return {
    entries: () => parseFatDirectory({ bytes, clusters, placeOf }, geometry.type).entries,
    add: (name, fields) => {
      checkFatName(name);
      const { short, longEntries } = fatName(name, shortNames(bytes));
      const added = [...longEntries, newEntry(short, fields)];
      const offset = findRoom(added.length);
      const endOffset = offset + added.length * directoryEntryBytes;
      // What stands behind the end may be anything; it must stay out of sight.
      const needsEnd = endOffset > usedBytes(bytes) && endOffset < bytes.length && bytes[endOffset] !== 0;
      added.forEach((entry, index) => {
        put(offset + index * directoryEntryBytes, entry);
      });
      if (needsEnd) put(endOffset, Buffer.alloc(directoryEntryBytes));
      return placeOf(endOffset - directoryEntryBytes);
    },
    replace: (entry, fields) => {
      let offset = 0;
      while (placeOf(offset) !== entry.inode) offset += directoryEntryBytes;
      const changed = Buffer.from(bytes.subarray(offset, offset + directoryEntryBytes));
      changed[11] = changed.readUInt8(11) | fields.attributes;
      setContents(changed, fields);
      put(offset, changed);
    },
    writeNewClusters: async (target) => {
      for (const [index, cluster] of clusters.entries()) {
        if (index < firstNewCluster) continue;
        // A cluster that an old directory grew by is in sight as soon as the table is written: it starts empty.
        const contents = isNew
          ? bytes.subarray(index * clusterBytes, (index + 1) * clusterBytes)
          : Buffer.alloc(clusterBytes);
        await target.write(contents, clusterStart(geometry, cluster));
      }
    },
    writeChanges: async (target) => {
      if (isNew) return;
      // The last sector first: what lies behind the end comes into sight only with the sector that held the end.
      for (const sector of [...changedSectors].sort((a, b) => b - a)) {
        const offset = sector * sectorBytes;
        await target.write(bytes.subarray(offset, offset + sectorBytes), placeOf(offset));
      }
    },
  };
}

/** Length up to the entry that ends the directory. */
function usedBytes(bytes: Buffer): number {
  for (let offset = 0; offset < bytes.length; offset += directoryEntryBytes) if (bytes[offset] === 0) return offset;
  return bytes.length;
}

function shortNames(bytes: Buffer): ReadonlySet<string> {
  const names = new Set<string>();
  const endOffset = usedBytes(bytes);
  for (let offset = 0; offset < endOffset; offset += directoryEntryBytes) {
    const isLong = (bytes.readUInt8(offset + 11) & 0x3f) === attributeLongName;
    if (!isLong && bytes[offset] !== deletedMark) names.add(bytes.toString('latin1', offset, offset + 11));
  }
  return names;
}

function newEntry(short: Buffer, fields: EntryFields): Buffer {
  const entry = Buffer.alloc(directoryEntryBytes);
  short.copy(entry);
  entry[11] = fields.attributes;
  entry[13] = fields.time.hundredths;
  entry.writeUInt16LE(fields.time.time, 14);
  entry.writeUInt16LE(fields.time.date, 16);
  setContents(entry, fields);
  return entry;
}

function setContents(entry: Buffer, { firstCluster, sizeBytes, time }: EntryFields): void {
  entry.writeUInt16LE(time.date, 18);
  entry.writeUInt16LE(firstCluster >>> 16, 20);
  entry.writeUInt16LE(time.time, 22);
  entry.writeUInt16LE(time.date, 24);
  entry.writeUInt16LE(firstCluster & 0xffff, 26);
  entry.writeUInt32LE(sizeBytes, 28);
}
