import { type ByteRange, type ByteReader, type FileTree, MigrateError, type TreeEntry, windowOf } from '@migrate/core';
import { readDirectoryBytes, rootInode } from './directory-bytes.ts';
import { chainRanges, type FatChain, fileReader } from './fat-chain.ts';
import { entryNamed, type FatDirectory, type FatEntry, parseFatDirectory } from './fat-directory.ts';
import { damaged, type FatGeometry, readFatGeometry } from './fat-geometry.ts';
import { fatTable, readFatUsage } from './fat-table.ts';

export type { FatEntry } from './fat-directory.ts';
export type { FatGeometry, FatType } from './fat-geometry.ts';

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
  /** Where the contents of a file lie in the file system, in their order. */
  rangesOf(file: TreeEntry): Promise<readonly ByteRange[]>;
  /** Reads the whole allocation table. */
  freeClusters(): Promise<number>;
  /**
   * All bytes that make the file system, ascending and apart: whoever writes only these onto any disk has the same file
   * system. Clusters that are free or marked bad are left out; a file system in very many pieces has some free ones in it.
   */
  usedRanges(): Promise<readonly ByteRange[]>;
}

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
  inode: rootInode,
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
      throw new MigrateError('invalid-input', 'FAT has no symbolic links');
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
      if (entry.sizeBytes > limitBytes) {
        throw new MigrateError('invalid-input', `${path} has ${entry.sizeBytes} bytes, more than ${limitBytes}`);
      }
      const bytes = new Uint8Array(entry.sizeBytes);
      await open(entry).read(bytes, 0);
      return bytes;
    },
    rangesOf: (file) => chainRanges(chainFrom(fatEntry(file).firstCluster), file.sizeBytes),
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

function fatEntry(entry: TreeEntry): FatEntry {
  if ('firstCluster' in entry) return entry as FatEntry;
  throw new TypeError('this entry is of another tree');
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
      return parseFatDirectory(directory, chain.geometry.type);
    },
  };
}
