import { type ByteRange, type ByteReader, type FileTree, MigrateError, type TreeEntry, windowOf } from '@migrate/core';
import { chainClusters, type FatChain, fileReader } from './fat-chain.ts';
import { directoryEntryBytes, type FatDirectory, type FatEntry, parseFatDirectory } from './fat-directory.ts';
import { clusterStart, damaged, type FatGeometry, readFatGeometry } from './fat-geometry.ts';
import { fatTable, readFatUsage } from './fat-table.ts';

export type { FatEntry } from './fat-directory.ts';

/** A FAT as a tree, and by paths. See FatEntry for what stands in for owners and modes. */
export interface FatVolume extends FileTree {
  readonly geometry: FatGeometry;
  /** Label in the root directory; the copy in the boot sector is `geometry.bootLabel`. */
  readonly label?: string;
  readonly root: FatEntry;
  children(directory: TreeEntry): Promise<readonly FatEntry[]>;
  /** What lies at a path ("/EFI/BOOT"), by long or short names, ignoring case; undefined where nothing does. */
  find(path: string): Promise<FatEntry | undefined>;
  /** Entries of a directory, "/" being the root; throws `not-found`. */
  list(path: string): Promise<readonly FatEntry[]>;
  /** Contents of a file; throws `not-found`, and `invalid-input` beyond `limitBytes` (default 8 MiB). */
  readFile(path: string, limitBytes?: number): Promise<Uint8Array>;
  /** Reads the whole allocation table. */
  freeClusters(): Promise<number>;
  /**
   * All bytes that make the file system, ascending and apart: whoever writes only these onto any disk has the same file
   * system. Clusters that are free or marked bad are left out; a file system in very many pieces has some free ones in it.
   */
  usedRanges(): Promise<readonly ByteRange[]>;
}

/** A directory may hold 65536 entries of 32 bytes (specification, section 6). */
export const maximumDirectoryBytes = 65536 * directoryEntryBytes;
const defaultLimitBytes = 8 * 1024 * 1024;

const rootEntry: FatEntry = {
  name: new Uint8Array(),
  text: '',
  shortName: '',
  kind: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  // The root has no entry of its own; Linux gives it this time and this inode too.
  modifiedNs: 0n,
  sizeBytes: 0,
  inode: 1,
  links: 1,
  firstCluster: 0,
};

/**
 * Reads a FAT12, FAT16 or FAT32 that starts at byte 0 of `reader` (see windowOf for one inside an image). Nothing is written,
 * not even access times. Throws `invalid-input` for a damaged file system: chains that are broken, run in a circle or end too
 * early, directories that share clusters, so that whoever walks the tree comes to an end.
 */
export async function openFat(reader: ByteReader): Promise<FatVolume> {
  const geometry = await readFatGeometry(reader);
  const table = fatTable(reader, geometry);
  const chainFrom = (firstCluster: number): FatChain => ({ reader, geometry, table, firstCluster });
  const directories = directoryReader(chainFrom);

  const find = async (path: string): Promise<FatEntry | undefined> => {
    let entry = rootEntry;
    for (const part of path.split('/').filter((name) => name !== '')) {
      if (entry.kind !== 'directory') return undefined;
      const found = entryNamed((await directories.read(entry)).entries, part);
      if (found === undefined) return undefined;
      entry = found;
    }
    return entry;
  };

  const open = (file: TreeEntry): ByteReader => fileReader(chainFrom(fatEntry(file).firstCluster), file.sizeBytes);

  const { label } = await directories.read(rootEntry);
  return {
    geometry,
    ...(label === undefined ? {} : { label }),
    root: rootEntry,
    children: async (directory) => (await directories.read(fatEntry(directory))).entries,
    linkTarget: async () => {
      throw damaged('there are no symbolic links in it');
    },
    extendedAttributes: async () => [],
    dataRanges: async ({ sizeBytes }) => (sizeBytes === 0 ? [] : [{ startByte: 0, endByte: sizeBytes }]),
    open,
    find,
    list: async (path) => {
      const entry = await find(path);
      if (entry?.kind !== 'directory') throw new MigrateError('not-found', `there is no directory ${path}`);
      return (await directories.read(entry)).entries;
    },
    readFile: async (path, limitBytes = defaultLimitBytes) => {
      const entry = await find(path);
      if (entry?.kind !== 'file') throw new MigrateError('not-found', `there is no file ${path}`);
      if (entry.sizeBytes > limitBytes) throw damaged(`${path} has ${entry.sizeBytes} bytes, more than ${limitBytes}`);
      const bytes = new Uint8Array(entry.sizeBytes);
      await open(entry).read(bytes, 0);
      return bytes;
    },
    freeClusters: async () => (await readFatUsage(reader, geometry)).freeClusters,
    usedRanges: async () => (await readFatUsage(reader, geometry)).usedRanges,
  };
}

/**
 * Contents of a file in the FAT that starts at `startByte`; undefined where there is no such file. Throws `invalid-input` for
 * a damaged file system or a file of more than 8 MiB.
 */
export async function readFatFile(
  reader: ByteReader,
  startByte: number,
  path: string,
): Promise<Uint8Array | undefined> {
  const volume = await openFat(windowOf(reader, startByte, reader.sizeBytes - startByte));
  const entry = await volume.find(path);
  return entry?.kind === 'file' ? volume.readFile(path) : undefined;
}

/** The entry with a long or short name, ignoring case; the long ones come first. */
export function entryNamed(entries: readonly FatEntry[], name: string): FatEntry | undefined {
  const wanted = name.toLowerCase();
  return (
    entries.find(({ text }) => text.toLowerCase() === wanted) ??
    entries.find(({ shortName }) => shortName.toLowerCase() === wanted)
  );
}

function fatEntry(entry: TreeEntry): FatEntry {
  if ('firstCluster' in entry) return entry as FatEntry;
  throw damaged('an entry of another tree was asked for');
}

/** Where a directory lies and what is in it. */
export interface FatDirectoryBytes {
  readonly bytes: Buffer;
  /** Empty for the root of FAT12 and FAT16. */
  readonly clusters: readonly number[];
  /** Byte of the file system at which an offset into the directory lies. */
  placeOf(offset: number): number;
}

/** Reads directories whole; a cluster that two of them have is `invalid-input`. */
function directoryReader(chainFrom: (firstCluster: number) => FatChain) {
  /** Entry of each directory that was read, by its first cluster. */
  const owners = new Map<number, number>();
  let claimed: Uint8Array | undefined;

  const claim = (clusters: readonly number[], inode: number, { clusterCount }: FatGeometry): void => {
    const [first = 0] = clusters;
    const owner = owners.get(first);
    if (owner === inode) return;
    claimed ??= new Uint8Array(Math.ceil((clusterCount + 2) / 8));
    for (const cluster of clusters) {
      const byte = claimed[cluster >> 3] ?? 0;
      if (owner !== undefined || (byte & (1 << (cluster & 7))) !== 0) {
        throw damaged(`two directories share cluster ${cluster}`);
      }
      claimed[cluster >> 3] = byte | (1 << (cluster & 7));
    }
    owners.set(first, inode);
  };

  return {
    read: async (entry: FatEntry): Promise<FatDirectory> => {
      const chain = chainFrom(entry.firstCluster);
      const directory = await readDirectoryBytes(chain, entry);
      if (directory.clusters.length > 0) claim(directory.clusters, entry.inode, chain.geometry);
      return parseFatDirectory(directory.bytes, directory.placeOf);
    },
  };
}

/** All bytes of a directory. Throws `invalid-input` for one that is broken or has more entries than there may be. */
export async function readDirectoryBytes(chain: FatChain, entry: FatEntry): Promise<FatDirectoryBytes> {
  const { reader, geometry } = chain;
  const { root, clusterBytes } = geometry;
  if (entry.inode === rootEntry.inode && 'startByte' in root) {
    const bytes = Buffer.alloc(root.sizeBytes);
    if ((await reader.read(bytes, root.startByte)) !== bytes.length) throw damaged('it is cut off');
    return { bytes, clusters: [], placeOf: (offset) => root.startByte + offset };
  }
  const isRoot = entry.inode === rootEntry.inode && 'firstCluster' in root;
  const whole = isRoot ? { ...chain, firstCluster: root.firstCluster } : chain;
  const clusters = await chainClusters(whole, Math.max(1, Math.floor(maximumDirectoryBytes / clusterBytes)));
  const bytes = Buffer.alloc(clusters.length * clusterBytes);
  await fileReader(whole, bytes.length).read(bytes, 0);
  const placeOf = (offset: number): number =>
    clusterStart(geometry, clusters[Math.floor(offset / clusterBytes)] ?? 0) + (offset % clusterBytes);
  return { bytes, clusters, placeOf };
}
