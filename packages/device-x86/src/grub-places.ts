// Where GRUB's files lie on a machine, and how GRUB itself names them.
import {
  type BootFile,
  type Disk,
  type DiskPartition,
  type Facts,
  MigrateError,
  type Mount,
  mountOf,
  partitionOf,
} from '@migrate/core';

/** Debian and its kin, then the name that Fedora and SUSE use. */
export const grubDirectories = ['/boot/grub', '/boot/grub2'];

export function menuFile(facts: Facts): BootFile | undefined {
  return facts.bootFiles.find((file) => grubDirectories.some((directory) => file.path === `${directory}/grub.cfg`));
}

export function directoryOf(facts: Facts): string {
  const menu = menuFile(facts);
  if (menu === undefined) throw new MigrateError('not-found', 'no grub.cfg was found');
  return menu.path.slice(0, menu.path.lastIndexOf('/'));
}

export interface BootPlace {
  readonly mount: Mount;
  readonly disk: Disk;
  readonly partition: DiskPartition;
}

/** The plain partition that a path lies on; undefined for LVM, md, encryption, network. */
export function placeOf(facts: Facts, path: string): BootPlace | undefined {
  const mount = mountOf(facts.mounts, path);
  const found = mount === undefined ? undefined : partitionOf(facts, mount);
  return mount === undefined || found === undefined ? undefined : { mount, ...found };
}

/** \EFI\<vendor>\grub.cfg on the mounted EFI system partition, from the boot entry in use. */
export function stubPaths(facts: Facts): string[] {
  const { firmware } = facts;
  if (firmware.kind !== 'uefi') return [];
  const entry = firmware.bootEntries.find((candidate) => candidate.number === firmware.bootCurrent);
  const partition = facts.disks
    .flatMap((disk) => disk.partitions)
    .find((candidate) => candidate.uuid === entry?.partitionUuid);
  const mount = facts.mounts.find((candidate) => candidate.device === partition?.device);
  const folder = entry?.filePath?.replace(/\\[^\\]*$/, '').replaceAll('\\', '/');
  return mount === undefined || folder === undefined ? [] : [`${mount.target}${folder}/grub.cfg`];
}

/** A path as GRUB sees it: from the root of the file system that holds it. */
export function grubPath(facts: Facts, path: string): { path: string; uuid: string; place: BootPlace } {
  const place = placeOf(facts, path);
  const uuid = place?.partition.fileSystem?.uuid;
  if (place === undefined || uuid === undefined) throw new MigrateError('unsupported', `GRUB cannot reach ${path}`);
  return { path: pathInFileSystem(place.mount, path), uuid, place };
}

export function pathInFileSystem(mount: Mount, path: string): string {
  const below = mount.target === '/' ? path : path.slice(mount.target.length);
  return mount.root === '/' ? below : `${mount.root}${below}`;
}
