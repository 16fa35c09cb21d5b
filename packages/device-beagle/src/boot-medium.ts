// Where a Beagle board's system lies, as Linux and as U-Boot see it. Names such as mmcblk0 say nothing: kernels of the 3.8 time
// number the disks as they find them, U-Boot by their sockets.
import {
  type AreaPlace,
  type BootArea,
  type BootFile,
  type Disk,
  type DiskPartition,
  type Facts,
  type ListedFile,
  type Mount,
  mountOf,
  partitionOf,
} from '@migrate/core';
import { type BeagleBoard, boardNamed } from './boards.ts';
import { headerAreaBytes } from './u-boot-image.ts';

const sectorBytes = 512;
/** EEPROM of the board, under the names of newer and older kernels; behind a magic number of 4 bytes lies what it is. */
const eepromPaths = ['/sys/bus/i2c/devices/0-0050/eeprom', '/sys/bus/i2c/devices/0-0050/at24-0/nvmem'];
const eepromMagicBytes = 4;
const eepromHeadBytes = 28;
/** Head of a kernel, to its magic number and further. */
const kernelHeadBytes = 64;

/** Where the ROM looks for the first loader without a file system (AM335x TRM, 26.1.8.5.5), and where that one finds U-Boot. */
export const rawLoaderBytes = [0, 0x20000, 0x40000] as const;
export const rawUbootByte = 0x60000;
/** The ROM's copies of the first loader take no more, each. */
export const rawLoaderSizeBytes = 0x20000;
/** Size and address (U-Boot: tools/gpheader.h). */
const loaderHeaderBytes = 8;

export type MediumKind = 'sd' | 'emmc';

export interface FirstPartition {
  readonly partition: DiskPartition;
  readonly mount: Mount;
}

export interface BootMedium {
  /** The disk of the root file system. */
  readonly disk: Disk;
  readonly kind: MediumKind;
}

export function boardOf(facts: Facts): BeagleBoard | undefined {
  if (facts.firmware.kind !== 'device-tree') return undefined;
  const areas = eepromPaths.map((path) => areaAt(facts, { path, startByte: 0, sizeBytes: eepromHeadBytes }));
  const bytes = areas.find((area) => area?.contents !== undefined)?.contents ?? '';
  const eeprom = Buffer.from(bytes, 'base64').subarray(eepromMagicBytes).toString('latin1');
  return boardNamed(facts.hardware.deviceTreeModel, eeprom);
}

/** Disks in the sockets of the board. */
export function mmcDisks(facts: Facts): readonly Disk[] {
  return facts.disks.filter(({ name }) => /^mmcblk\d+$/.test(name));
}

export function mediumTypePath(disk: Disk): string {
  return `/sys/block/${disk.name}/device/type`;
}

/** What the kernel calls it (Documentation/mmc/mmc-dev-attrs.rst). */
export function mediumKindOf(facts: Facts, disk: Disk): MediumKind | undefined {
  const type = bootFile(facts, mediumTypePath(disk))?.text.trim();
  if (type === 'SD') return 'sd';
  return type === 'MMC' ? 'emmc' : undefined;
}

/** Where the running system lies; undefined where it is neither a card nor the eMMC. */
export function bootMediumOf(facts: Facts): BootMedium | undefined {
  const disk = rootDisk(facts);
  const kind = disk === undefined ? undefined : mediumKindOf(facts, disk);
  return disk === undefined || kind === undefined ? undefined : { disk, kind };
}

export function rootDisk(facts: Facts): Disk | undefined {
  const root = mountOf(facts.mounts, '/');
  return root === undefined ? undefined : partitionOf(facts, root)?.disk;
}

/** Partition 1 as it is mounted whole; that is where U-Boot looks for /uEnv.txt. */
export function firstPartitionOf(facts: Facts, disk: Disk): FirstPartition | undefined {
  const partition = disk.partitions.find(({ number }) => number === 1);
  const mount = partition === undefined ? undefined : wholeMounts(facts, disk).find((each) => each.number === 1)?.mount;
  return partition === undefined || mount === undefined ? undefined : { partition, mount };
}

/** Mounts of a disk's partitions from their root on. */
export function wholeMounts(facts: Facts, disk: Disk): readonly { readonly number: number; readonly mount: Mount }[] {
  return facts.mounts.flatMap((mount) => {
    const found = mount.root === '/' ? partitionOf(facts, mount) : undefined;
    return found?.disk.path === disk.path ? [{ number: found.partition.number, mount }] : [];
  });
}

/** A path below a mount, unless another mount covers it. */
export function pathBelow(facts: Facts, mount: Mount, path: string): string | undefined {
  const joined = mount.target === '/' ? path : `${mount.target}${path}`;
  return mountOf(facts.mounts, joined) === mount ? joined : undefined;
}

/** A file as U-Boot names it: partition and path from its root; undefined where it does not lie on that disk as a plain file. */
export interface UbootFile {
  readonly partition: number;
  readonly path: string;
}

export function ubootFile(facts: Facts, disk: Disk, path: string): UbootFile | undefined {
  const mount = mountOf(facts.mounts, path);
  const found = mount === undefined || mount.root !== '/' ? undefined : partitionOf(facts, mount);
  if (mount === undefined || found === undefined || found.disk.path !== disk.path) return undefined;
  if (!isReadableByUboot(mount.fileSystem)) return undefined;
  return { partition: found.partition.number, path: mount.target === '/' ? path : path.slice(mount.target.length) };
}

/** The same file as the running system names it; undefined where it does not see it. */
export function runningPath(facts: Facts, disk: Disk, { partition, path }: UbootFile): string | undefined {
  const mount = wholeMounts(facts, disk).find(({ number }) => number === partition)?.mount;
  return mount === undefined ? undefined : pathBelow(facts, mount, path);
}

export function isReadableByUboot(fileSystem: string): boolean {
  return /^(ext[234]|vfat)$/.test(fileSystem);
}

/** All bytes outside of file systems that decide: loaders, U-Boot, the place for the flag, the EEPROM, the kernel's head. */
export function areasToRead(facts: Facts): readonly AreaPlace[] {
  const root = rootDisk(facts);
  const flag = root === undefined ? undefined : flagPlace(root);
  const kernel = facts.kernel.image;
  return [
    ...mmcDisks(facts).flatMap((disk) => [
      ...rawLoaderBytes.map((startByte) => loaderPlace(disk, startByte)),
      ...rawLoaderBytes.map((startByte) => loaderHeaderPlace(disk, startByte)),
      ubootPlace(disk),
    ]),
    ...(flag === undefined ? [] : [flag]),
    ...eepromPaths.map((path) => ({ path, startByte: 0, sizeBytes: eepromHeadBytes })),
    ...(kernel === undefined ? [] : [kernelPlace(kernel.path)]),
  ];
}

/** The header behind the table of contents that a first loader for raw MMC begins with: its size is a first loader's last word on it. */
export function loaderHeaderPlace(disk: Disk, startByte: number): AreaPlace {
  return { path: disk.path, startByte: startByte + sectorBytes, sizeBytes: loaderHeaderBytes };
}

export function loaderPlace(disk: Disk, startByte: number): AreaPlace {
  return { path: disk.path, startByte, sizeBytes: sectorBytes };
}

export function ubootPlace(disk: Disk): AreaPlace {
  return { path: disk.path, startByte: rawUbootByte, sizeBytes: headerAreaBytes };
}

export function kernelPlace(path: string): AreaPlace {
  return { path, startByte: 0, sizeBytes: kernelHeadBytes };
}

/** Behind what the ROM reads, at most so far before partition 1. */
const flagDistanceBytes = 128 * 1024;
/** The page that Linux writes for one sector, all of which must be free. */
const flagAreaBytes = 4096;

/** The page whose first sector may be the flag; undefined where nothing lies before partition 1 but the ROM's places. */
export function flagPlace(disk: Disk): AreaPlace | undefined {
  const starts = disk.partitions.map(({ startByte }) => startByte);
  const end = Math.min(...starts);
  if (!Number.isFinite(end)) return undefined;
  const startByte = Math.floor((end - flagDistanceBytes) / flagAreaBytes) * flagAreaBytes;
  const lowest = Math.max(...rawLoaderBytes) + rawLoaderSizeBytes;
  return startByte < lowest ? undefined : { path: disk.path, startByte, sizeBytes: flagAreaBytes };
}

export function areaAt(facts: Facts, place: AreaPlace): BootArea | undefined {
  return facts.bootAreas?.find(
    ({ path, startByte, sizeBytes }) =>
      path === place.path && startByte === place.startByte && sizeBytes === place.sizeBytes,
  );
}

export function areaBytes(area: BootArea): Uint8Array {
  return area.contents === undefined ? new Uint8Array(area.sizeBytes) : Buffer.from(area.contents, 'base64');
}

/** Where the entries of a partition table of MBR lie, and the mark of a bootable one. */
const mbr = { firstEntry: 446, entryBytes: 16, active: 0x80 } as const;

/** Numbers of the partitions that sector 0 marks as bootable. */
export function activePartitions(sector: Uint8Array): readonly number[] {
  return [1, 2, 3, 4].filter((number) => sector[mbr.firstEntry + (number - 1) * mbr.entryBytes] === mbr.active);
}

/** The table of contents that an image for raw MMC begins with (AM335x TRM, 26.1.11). */
export function isFirstLoader(bytes: Uint8Array): boolean {
  return Buffer.from(bytes).toString('latin1', 0x14, 0x1e) === 'CHSETTINGS';
}

export function bootFile(facts: Facts, path: string): BootFile | undefined {
  return facts.bootFiles.find((file) => file.path === path);
}

export function listed(facts: Facts, path: string): ListedFile | undefined {
  return facts.bootListing?.find((file) => file.path === path);
}
