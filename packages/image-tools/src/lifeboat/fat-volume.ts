// Lays out a FAT32 file system with given files in it, every file in one piece: "Microsoft FAT Specification" (2005). Pure; it
// is written once and then only read, by firmware, boot loaders and Linux.
import { MigrateError } from '@migrate/core';
import { attributeDirectory, attributeVolume, directoryEntryBytes } from '../fat/fat-directory.ts';
import { checkFatName, fatName } from '../fat/fat-name.ts';
import { fatTimeOf } from '../fat/fat-time.ts';

/** A file to be, by its path without a slash before it ("grub/grub.cfg"). */
export interface VolumeFile {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface VolumeRequest {
  readonly files: readonly VolumeFile[];
  /** As /dev/disk/by-uuid writes it: "ABCD-1234". */
  readonly serial: string;
  /** Upper-case letters and digits, at most 11. */
  readonly label: string;
  readonly time: Date;
}

export interface Piece {
  /** From the volume's start. */
  readonly startByte: number;
  readonly bytes: Uint8Array;
}

export interface FatVolume {
  readonly sizeBytes: number;
  /**
   * Everything but the contents of files, ascending. `startSector` is where the volume begins on its disk, which its boot sector
   * says.
   */
  metadata(startSector: number): readonly Piece[];
  /** Where the contents of a file begin, from the volume's start. */
  startOf(path: string): number;
}

const sectorBytes = 512;
/** Before the first table; from `freeReservedSector` on they belong to whoever makes the volume. */
export const reservedSectors = 96;
export const freeReservedSector = 16;
const tableCount = 2;
const rootCluster = 2;
/** Fewer clusters would be FAT16 to some firmware (section 3.5), and more of them take longer to read. */
const fewestClusters = 65_600;
const largestClusterBytes = 4096;
const largestFileBytes = 0xffffffff;
const endOfChain = 0x0fffffff;

interface Directory {
  readonly path: string;
  readonly parent: string;
  /** Names of what is in it, with the path of each. */
  readonly entries: { readonly name: string; readonly path: string; readonly isDirectory: boolean }[];
}

interface Chain {
  readonly firstCluster: number;
  readonly clusters: number;
}

/** Throws `invalid-input` for names that FAT cannot have, `no-space` for a file above 4 GiB. */
export function layOutFatVolume(request: VolumeRequest): FatVolume {
  const { files, serial } = request;
  if (!/^[0-9A-F]{4}-[0-9A-F]{4}$/.test(serial)) throw new Error(`${serial} is no serial number of a FAT volume`);
  for (const { path, sizeBytes } of files) {
    if (sizeBytes > largestFileBytes)
      throw new MigrateError('no-space', `${path} has ${sizeBytes} bytes; FAT holds at most ${largestFileBytes}`);
  }
  const directories = directoriesOf(files);
  const clusterBytes = clusterSizeFor(files);
  const chains = allocate(directories, files, clusterBytes);
  const usedClusters = [...chains.values()].reduce((sum, { clusters }) => sum + clusters, 0);
  const clusterCount = Math.max(usedClusters, fewestClusters);
  const tableSectors = Math.ceil(((clusterCount + 2) * 4) / sectorBytes);
  const dataSector = reservedSectors + tableCount * tableSectors;
  const sizeBytes = dataSector * sectorBytes + clusterCount * clusterBytes;
  const startOfCluster = (cluster: number): number => dataSector * sectorBytes + (cluster - 2) * clusterBytes;
  const chainOf = (path: string): Chain => {
    const chain = chains.get(path);
    if (chain === undefined) throw new Error(`the volume has no ${path}`);
    return chain;
  };
  const geometry = { clusterBytes, clusterCount, tableSectors, usedClusters, sizeBytes };
  return {
    sizeBytes,
    startOf: (path) => startOfCluster(chainOf(path).firstCluster),
    metadata: (startSector) => [
      { startByte: 0, bytes: reservedArea(request, geometry, startSector) },
      ...tables(chains, tableSectors),
      ...directories.map((directory) => ({
        startByte: startOfCluster(chainOf(directory.path).firstCluster),
        bytes: directoryBytes(directory, { ...request, chainOf, clusterBytes }),
      })),
    ],
  };
}

/** The root first, and every directory before what is in it. */
function directoriesOf(files: readonly VolumeFile[]): readonly Directory[] {
  const root: Directory = { path: '', parent: '', entries: [] };
  const directories = new Map([['', root]]);
  const ensure = (path: string): Directory => {
    const known = directories.get(path);
    if (known !== undefined) return known;
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? '' : path.slice(0, slash);
    const directory: Directory = { path, parent, entries: [] };
    ensure(parent).entries.push({ name: checkedName(path.slice(slash + 1)), path, isDirectory: true });
    directories.set(path, directory);
    return directory;
  };
  for (const { path } of files) {
    const slash = path.lastIndexOf('/');
    const name = checkedName(path.slice(slash + 1));
    ensure(slash < 0 ? '' : path.slice(0, slash)).entries.push({ name, path, isDirectory: false });
  }
  for (const { path, entries } of directories.values()) {
    const names = new Set(entries.map(({ name }) => name.toLowerCase()));
    if (names.size !== entries.length)
      throw new MigrateError('invalid-input', `two names in ${path === '' ? 'the root' : path} are one to FAT`);
  }
  return [...directories.values()];
}

function checkedName(name: string): string {
  checkFatName(name);
  return name;
}

function clusterSizeFor(files: readonly VolumeFile[]): number {
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let clusterBytes = largestClusterBytes;
  while (clusterBytes > sectorBytes && total / clusterBytes < fewestClusters) clusterBytes /= 2;
  return clusterBytes;
}

function allocate(
  directories: readonly Directory[],
  files: readonly VolumeFile[],
  clusterBytes: number,
): ReadonlyMap<string, Chain> {
  const chains = new Map<string, Chain>();
  let next = rootCluster;
  const take = (path: string, bytes: number): void => {
    const clusters = Math.ceil(bytes / clusterBytes);
    chains.set(path, { firstCluster: clusters === 0 ? 0 : next, clusters });
    next += clusters;
  };
  for (const directory of directories) take(directory.path, Math.max(1, entryCount(directory)) * directoryEntryBytes);
  for (const { path, sizeBytes } of files) take(path, sizeBytes);
  return chains;
}

/** With the label in the root, and "." and ".." elsewhere. */
function entryCount({ path, entries }: Directory): number {
  const taken = new Set<string>();
  const named = entries.reduce((sum, { name }) => sum + 1 + shortNamed(name, taken).longEntries.length, 0);
  return named + (path === '' ? 1 : 2);
}

function shortNamed(name: string, taken: Set<string>): ReturnType<typeof fatName> {
  const found = fatName(name, taken);
  taken.add(found.short.toString('latin1'));
  return found;
}

interface Geometry {
  readonly clusterBytes: number;
  readonly clusterCount: number;
  readonly tableSectors: number;
  readonly usedClusters: number;
  readonly sizeBytes: number;
}

/** Boot sector and FSInfo with their copies (sections 3.1 to 3.4 and 5); the rest is zeros. */
function reservedArea(request: VolumeRequest, geometry: Geometry, startSector: number): Uint8Array {
  const area = Buffer.alloc(freeReservedSector * sectorBytes);
  const boot = bootSector(request, geometry, startSector);
  const info = infoSector(geometry);
  for (const sector of [0, 6]) {
    boot.copy(area, sector * sectorBytes);
    info.copy(area, (sector + 1) * sectorBytes);
  }
  return area;
}

function bootSector(
  { serial, label }: VolumeRequest,
  { clusterBytes, tableSectors, sizeBytes }: Geometry,
  startSector: number,
): Buffer {
  const sector = Buffer.alloc(sectorBytes);
  Buffer.from([0xeb, 0x58, 0x90]).copy(sector);
  sector.write('MSWIN4.1', 3, 'latin1');
  sector.writeUInt16LE(sectorBytes, 11);
  sector[13] = clusterBytes / sectorBytes;
  sector.writeUInt16LE(reservedSectors, 14);
  sector[16] = tableCount;
  sector[21] = 0xf8;
  sector.writeUInt16LE(63, 24);
  sector.writeUInt16LE(255, 26);
  sector.writeUInt32LE(startSector, 28);
  sector.writeUInt32LE(sizeBytes / sectorBytes, 32);
  sector.writeUInt32LE(tableSectors, 36);
  sector.writeUInt32LE(rootCluster, 44);
  sector.writeUInt16LE(1, 48);
  sector.writeUInt16LE(6, 50);
  sector[64] = 0x80;
  sector[66] = 0x29;
  sector.writeUInt32LE(Number.parseInt(serial.replace('-', ''), 16), 67);
  sector.write(label.padEnd(11), 71, 'latin1');
  sector.write('FAT32   ', 82, 'latin1');
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

function infoSector({ clusterCount, usedClusters }: Geometry): Buffer {
  const sector = Buffer.alloc(sectorBytes);
  sector.write('RRaA', 0, 'latin1');
  sector.write('rrAa', 484, 'latin1');
  sector.writeUInt32LE(clusterCount - usedClusters, 488);
  sector.writeUInt32LE(rootCluster + usedClusters, 492);
  sector.writeUInt32LE(0xaa550000, 508);
  return sector;
}

/** Section 4: the first two entries have no clusters; every chain is a run. */
function tables(chains: ReadonlyMap<string, Chain>, tableSectors: number): readonly Piece[] {
  const bytes = Buffer.alloc(tableSectors * sectorBytes);
  bytes.writeUInt32LE(0x0ffffff8, 0);
  bytes.writeUInt32LE(endOfChain, 4);
  for (const { firstCluster, clusters } of chains.values()) {
    for (let index = 0; index < clusters; index += 1) {
      const isLast = index === clusters - 1;
      bytes.writeUInt32LE(isLast ? endOfChain : firstCluster + index + 1, (firstCluster + index) * 4);
    }
  }
  const startByte = reservedSectors * sectorBytes;
  return [
    { startByte, bytes },
    { startByte: startByte + bytes.length, bytes },
  ];
}

interface DirectoryContext extends VolumeRequest {
  readonly chainOf: (path: string) => Chain;
  readonly clusterBytes: number;
}

function directoryBytes(directory: Directory, context: DirectoryContext): Uint8Array {
  const { files, label, time, chainOf, clusterBytes } = context;
  const { path, parent, entries } = directory;
  const sizes = new Map(files.map((file) => [file.path, file.sizeBytes]));
  const parts: Buffer[] = [];
  const add = (short: Buffer, fields: { attributes: number; firstCluster: number; sizeBytes: number }): void =>
    void parts.push(shortEntry(short, fields, time));
  if (path === '') {
    add(Buffer.from(label.padEnd(11), 'latin1'), { attributes: attributeVolume, firstCluster: 0, sizeBytes: 0 });
  } else {
    // ".." of a directory in the root has cluster 0 (section 6.5).
    const up = parent === '' ? 0 : chainOf(parent).firstCluster;
    const dots = [chainOf(path).firstCluster, up];
    dots.forEach((firstCluster, index) => {
      const short = Buffer.from('.'.repeat(index + 1).padEnd(11), 'latin1');
      add(short, { attributes: attributeDirectory, firstCluster, sizeBytes: 0 });
    });
  }
  const taken = new Set<string>();
  for (const entry of entries) {
    const { short, longEntries } = shortNamed(entry.name, taken);
    parts.push(...longEntries);
    const sizeBytes = sizes.get(entry.path) ?? 0;
    const attributes = entry.isDirectory ? attributeDirectory : 0;
    add(short, { attributes, firstCluster: chainOf(entry.path).firstCluster, sizeBytes });
  }
  const bytes = Buffer.alloc(chainOf(path).clusters * clusterBytes);
  Buffer.concat(parts).copy(bytes);
  return bytes;
}

function shortEntry(
  short: Buffer,
  { attributes, firstCluster, sizeBytes }: { attributes: number; firstCluster: number; sizeBytes: number },
  moment: Date,
): Buffer {
  const { date, time } = fatTimeOf(moment);
  const entry = Buffer.alloc(directoryEntryBytes);
  short.copy(entry);
  entry[11] = attributes;
  for (const [timeAt, dateAt] of [
    [14, 16],
    [22, 24],
  ] as const) {
    entry.writeUInt16LE(time, timeAt);
    entry.writeUInt16LE(date, dateAt);
  }
  entry.writeUInt16LE(date, 18);
  entry.writeUInt16LE(firstCluster >>> 16, 20);
  entry.writeUInt16LE(firstCluster & 0xffff, 26);
  entry.writeUInt32LE(sizeBytes, 28);
  return entry;
}
