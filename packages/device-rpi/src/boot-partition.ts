// Where the firmware's files lie on a machine, and what the facts say of them.
import {
  type BootFile,
  type Disk,
  type DiskPartition,
  type Facts,
  type ListedFile,
  type Mount,
  partitionOf,
} from '@migrate/core';
import { type ConfigTxt, parseConfigTxt } from './config-txt.ts';

/** What the firmware tells of itself; only firmware that knows tryboot has the first one (configuration/device-tree.adoc). */
export const trybootProperty = '/proc/device-tree/chosen/bootloader/tryboot';
export const partitionProperty = '/proc/device-tree/chosen/bootloader/partition';
/** What the firmware was loaded from, as BOOT_ORDER numbers it, and whether it is made to start signed files only. */
export const bootModeProperty = '/proc/device-tree/chosen/bootloader/boot-mode';
export const signedProperty = '/proc/device-tree/chosen/bootloader/signed';
export const serialProperty = '/proc/device-tree/serial-number';
/** The mailbox tool of raspi-utils and libraspberrypi-bin, and of older Raspbian. */
export const vcmailboxPaths = ['/usr/bin/vcmailbox', '/opt/vc/bin/vcmailbox'];
export const mailboxDevice = '/dev/vcio';

/** Text files of the firmware are small; anything larger is not one. */
const textFileLimitBytes = 64 * 1024;

export interface BootPartition {
  /** Where it is mounted: /boot, or /boot/firmware since Debian 12 and on Ubuntu. */
  readonly directory: string;
  readonly mount: Mount;
  readonly disk: Disk;
  readonly partition: DiskPartition;
}

export function fatMounts(facts: Facts): readonly Mount[] {
  return facts.mounts.filter((mount) => mount.fileSystem === 'vfat' && mount.root === '/');
}

/** Directories whose entries matter: the FAT partitions, and what lies one level below for os_prefix. */
export function directoriesToList(facts: Facts): readonly string[] {
  const tops = fatMounts(facts).map((mount) => mount.target);
  const below = (facts.bootListing ?? [])
    .filter(({ path, kind }) => kind === 'directory' && tops.some((top) => isChild(top, path)))
    .map(({ path }) => path)
    // Hundreds of overlays that nothing here asks for.
    .filter((path) => !/\/(overlays|dtbs?)$/i.test(path));
  return [...tops, ...below];
}

/** The text files of the firmware among what was listed. */
export function textFilesOf(facts: Facts): readonly string[] {
  const tops = fatMounts(facts).map((mount) => `${mount.target}/`);
  return (facts.bootListing ?? [])
    .filter(({ kind, sizeBytes }) => kind === 'file' && sizeBytes <= textFileLimitBytes)
    .map(({ path }) => path)
    .filter((path) => path.endsWith('.txt') && tops.some((top) => path.startsWith(top)));
}

/** Mounted FAT partitions that hold what the firmware reads; a sound machine has exactly one. */
export function bootPartitions(facts: Facts): readonly BootPartition[] {
  return fatMounts(facts).flatMap((mount) => {
    const found = partitionOf(facts, mount);
    const names = entriesOf(facts, mount.target);
    const isBoot =
      names.has('config.txt') &&
      [...names].some((name) => /^(bootcode\.bin|start.*\.elf|kernel.*\.img|vmlinuz)$/.test(name));
    return found === undefined || !isBoot ? [] : [{ directory: mount.target, mount, ...found }];
  });
}

/** The one boot partition; undefined where there is none, or more than one. */
export function bootPartitionOf(facts: Facts): BootPartition | undefined {
  const [first, ...others] = bootPartitions(facts);
  return others.length === 0 ? first : undefined;
}

export function listed(facts: Facts, path: string): ListedFile | undefined {
  return facts.bootListing?.find((file) => file.path === path);
}

export function bootFile(facts: Facts, path: string): BootFile | undefined {
  return facts.bootFiles.find((file) => file.path === path);
}

/** Reader of the partition's text files, by name, for evaluateConfig. */
export function configReader(facts: Facts, directory: string): (name: string) => ConfigTxt | undefined {
  return (name) => {
    const file = bootFile(facts, `${directory}/${name}`);
    return file === undefined ? undefined : parseConfigTxt(Buffer.from(file.text, 'utf8'));
  };
}

/** A 32-bit big-endian property of the device tree that was captured as text; undefined where it is not there or large. */
export function propertyNumber(facts: Facts, path: string): number | undefined {
  const bytes = [...(bootFile(facts, path)?.text ?? '')].map((character) => character.charCodeAt(0));
  if (bytes.length !== 4 || bytes.some((byte) => byte > 0x7f)) return undefined;
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** Lowest 32 bits of the board's serial number. */
export function serialOf(facts: Facts): number | undefined {
  const digits = /^[0-9a-f]{8,16}/i.exec(bootFile(facts, serialProperty)?.text ?? '')?.[0];
  return digits === undefined ? undefined : Number.parseInt(digits.slice(-8), 16);
}

function entriesOf(facts: Facts, directory: string): ReadonlySet<string> {
  const paths = (facts.bootListing ?? []).map(({ path }) => path).filter((path) => isChild(directory, path));
  return new Set(paths.map((path) => path.slice(directory.length + 1)));
}

function isChild(directory: string, path: string): boolean {
  return path.startsWith(`${directory}/`) && !path.slice(directory.length + 1).includes('/');
}
