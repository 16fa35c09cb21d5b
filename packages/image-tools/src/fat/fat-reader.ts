import { type ByteReader, MigrateError, windowOf } from '@migrate/core';
import { type FatEntry, parseFatDirectory } from './fat-directory.ts';
import { checkCluster, damaged, type FatGeometry, fatTable, readFatGeometry } from './fat-table.ts';

export interface FatVolume {
  readonly type: FatGeometry['type'];
  /** Label in the root directory. */
  readonly label?: string;
  /** What lies at a path ("/EFI/BOOT"), ignoring case; undefined where nothing does. */
  find(path: string): Promise<FatEntry | undefined>;
  /** Entries of a directory, "/" being the root; throws `not-found`. */
  list(path: string): Promise<readonly FatEntry[]>;
  /** Contents of a file; throws `not-found`, and `invalid-input` beyond `limitBytes` (default 8 MiB). */
  readFile(path: string, limitBytes?: number): Promise<Uint8Array>;
}

/** A directory may hold 65536 entries of 32 bytes (specification, section 6). */
const maximumDirectoryBytes = 65536 * 32;
const defaultLimitBytes = 8 * 1024 * 1024;
const rootEntry: FatEntry = { name: '/', isDirectory: true, sizeBytes: 0, firstCluster: 0 };

/**
 * Reads a FAT12, FAT16 or FAT32 that starts at byte 0 of `reader` (see windowOf for one inside an image). Nothing is written,
 * not even access times. Throws `invalid-input` for a damaged file system; chains are bounded by the number of clusters.
 */
export async function openFat(reader: ByteReader): Promise<FatVolume> {
  const geometry = await readFatGeometry(reader);
  const next = fatTable(reader, geometry);

  const readChain = async (firstCluster: number, wantedBytes: number): Promise<Buffer> => {
    const clusters = Math.ceil(wantedBytes / geometry.clusterBytes);
    if (clusters > geometry.clusterCount) throw damaged('a file is larger than the file system');
    const bytes = Buffer.alloc(wantedBytes);
    let cluster: number | undefined = firstCluster;
    for (let index = 0; index < clusters; index += 1) {
      if (cluster === undefined) throw damaged('a file ends before its size');
      checkCluster(geometry, cluster);
      const part = bytes.subarray(index * geometry.clusterBytes, (index + 1) * geometry.clusterBytes);
      await readFully(reader, part, geometry.dataStartByte + (cluster - 2) * geometry.clusterBytes);
      cluster = index + 1 < clusters ? await next(cluster) : undefined;
    }
    return bytes;
  };

  /** A directory has no size of its own: its chain is. */
  const chainBytes = async (firstCluster: number): Promise<number> => {
    let cluster: number | undefined = firstCluster;
    let sizeBytes = 0;
    while (cluster !== undefined) {
      checkCluster(geometry, cluster);
      sizeBytes += geometry.clusterBytes;
      if (sizeBytes > Math.max(maximumDirectoryBytes, geometry.clusterBytes)) throw damaged('a directory does not end');
      cluster = await next(cluster);
    }
    return sizeBytes;
  };

  const readDirectory = async (entry: FatEntry): Promise<ReturnType<typeof parseFatDirectory>> => {
    const { root } = geometry;
    if (entry.firstCluster === 0 && 'startByte' in root) {
      const bytes = Buffer.alloc(root.sizeBytes);
      await readFully(reader, bytes, root.startByte);
      return parseFatDirectory(bytes);
    }
    const first = entry.firstCluster === 0 && 'firstCluster' in root ? root.firstCluster : entry.firstCluster;
    return parseFatDirectory(await readChain(first, await chainBytes(first)));
  };

  const find = async (path: string): Promise<FatEntry | undefined> => {
    let entry = rootEntry;
    for (const part of path.split('/').filter((name) => name !== '')) {
      if (!entry.isDirectory) return undefined;
      const { entries } = await readDirectory(entry);
      const found = entries.find(({ name }) => name.toLowerCase() === part.toLowerCase());
      if (found === undefined) return undefined;
      entry = found;
    }
    return entry;
  };

  const { label } = await readDirectory(rootEntry);
  return {
    type: geometry.type,
    ...(label === undefined ? {} : { label }),
    find,
    list: async (path) => {
      const entry = await find(path);
      if (entry === undefined || !entry.isDirectory)
        throw new MigrateError('not-found', `there is no directory ${path}`);
      return (await readDirectory(entry)).entries;
    },
    readFile: async (path, limitBytes = defaultLimitBytes) => {
      const entry = await find(path);
      if (entry === undefined || entry.isDirectory) throw new MigrateError('not-found', `there is no file ${path}`);
      if (entry.sizeBytes > limitBytes) throw damaged(`${path} has ${entry.sizeBytes} bytes, more than ${limitBytes}`);
      return readChain(entry.firstCluster, entry.sizeBytes);
    },
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
  return entry === undefined || entry.isDirectory ? undefined : volume.readFile(path);
}

async function readFully(reader: ByteReader, target: Buffer, position: number): Promise<void> {
  if ((await reader.read(target, position)) !== target.length) throw damaged('it is cut off');
}
