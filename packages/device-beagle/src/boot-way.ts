// How stage 2 is started once on this very machine, or what stands against it.
import {
  type AreaPlace,
  changesInComments,
  type Disk,
  error,
  type Facts,
  type Finding,
  identifyDisk,
  type SectorChange,
  type UbootFlag,
  withSectorChange,
} from '@migrate/core';
import type { BeagleBoard } from './boards.ts';
import {
  areaAt,
  areaBytes,
  type BootMedium,
  bootFile,
  type FirstPartition,
  firstPartitionOf,
  flagPlace,
  kernelPlace,
  listed,
  loaderPlace,
  pathBelow,
  rawLoaderBytes,
  rawUbootByte,
  type UbootFile,
  ubootFile,
  ubootPlace,
} from './boot-medium.ts';
import {
  directoryName,
  hookLines,
  hookName,
  oldCommandName,
  wholeEnvironment,
  withOldCommandKept,
} from './boot-script.ts';
import { firstEnvironment, stockVariables } from './stock-flow.ts';
import { readUbootImage } from './u-boot-image.ts';
import { evaluateUenv, parseUenvTxt, type UenvTxt } from './uenv-txt.ts';

export type HookWay =
  /** A new file, or one that its file system replaces as a whole or not at all. */
  | { readonly kind: 'write'; readonly text: string; readonly mode: number }
  /** One sector of a file that a FAT cannot replace safely. */
  | { readonly kind: 'switch'; readonly change: SectorChange };

export interface BootDecision {
  readonly medium: BootMedium;
  readonly first: FirstPartition;
  /** Where our files go. */
  readonly directory: string;
  readonly environmentPath: string;
  readonly hook: HookWay;
  readonly flag: UbootFlag;
  /** Path of the disk or file that has the flag. */
  readonly flagPath: string;
  readonly kernel: UbootFile;
  readonly deviceTree: UbootFile;
}

export const flagFileName = '/bmigrate.flg';

/** The way to boot once; findings where there is none. `medium` and its flow are judged elsewhere. */
export function decideBoot(facts: Facts, board: BeagleBoard, medium: BootMedium): BootDecision | readonly Finding[] {
  const first = firstPartitionOf(facts, medium.disk);
  if (first === undefined || !/^(ext[234]|vfat)$/.test(first.mount.fileSystem)) {
    return [
      error(
        'beagle-first-partition',
        medium.disk.path,
        'its partition 1, where U-Boot looks for uEnv.txt, is not mounted as ext4 or FAT',
        'Mount it, for instance on /boot/uboot',
      ),
    ];
  }
  const directory = directoryOf(facts, first);
  const environmentPath = pathBelow(facts, first.mount, firstEnvironment);
  const kernel = findKernel(facts, medium.disk);
  const deviceTree = findDeviceTree(facts, board, { disk: medium.disk, first });
  const hook = environmentPath === undefined ? [covered(first)] : hookWay(facts, first, environmentPath);
  const flag = findFlag(facts, medium.disk, first);
  const findings = [kernel, deviceTree, hook, flag].flatMap((each) => ('length' in each ? each : []));
  if ('length' in kernel || 'length' in deviceTree || 'length' in hook || 'length' in flag) return findings;
  const flagPath = flag.place === 'gap' ? medium.disk.path : `${first.mount.target}${flag.path}`;
  return { medium, first, directory, environmentPath: environmentPath ?? '', hook, flag, flagPath, kernel, deviceTree };
}

/** Below /boot where that is on partition 1, so that the root directory is left alone. */
export function directoryOf(facts: Facts, first: FirstPartition): string {
  const { target } = first.mount;
  if (target !== '/') return `${target}/${directoryName}`;
  return pathBelow(facts, first.mount, '/boot') === undefined ? `/${directoryName}` : `/boot/${directoryName}`;
}

function covered({ mount }: FirstPartition): Finding {
  return error('beagle-first-partition', mount.target, 'another mount covers it', 'Unmount that one');
}

/** Magic number of a zImage (arch/arm/boot/compressed/head.S), little-endian. */
const zImageMagic = 0x016f2818;
const zImageMagicOffset = 0x24;

/** The running kernel, in place: it is known to drive this board. */
function findKernel(facts: Facts, disk: Disk): UbootFile | readonly Finding[] {
  const { image, release } = facts.kernel;
  if (image === undefined) {
    return [
      error(
        'beagle-kernel',
        `/boot/vmlinuz-${release}`,
        'the image of the running kernel is not there',
        'Install it again, or boot the kernel that is installed',
      ),
    ];
  }
  const area = areaAt(facts, kernelPlace(image.path));
  const head = area === undefined ? new Uint8Array() : areaBytes(area);
  const isZimage =
    head.length >= zImageMagicOffset + 4 && Buffer.from(head).readUInt32LE(zImageMagicOffset) === zImageMagic;
  if (!isZimage) {
    return [
      error('beagle-kernel', image.path, 'it is no zImage, which is what bootz starts', 'Install a kernel that is one'),
    ];
  }
  const file = ubootFile(facts, disk, image.path);
  if (file !== undefined && isPlainPath(file.path)) return file;
  return [
    error(
      'beagle-kernel',
      image.path,
      `U-Boot cannot read it from ${disk.path}: it lies elsewhere, or on a file system that U-Boot does not know`,
      'Install the kernel on an ext4 or FAT partition of that disk',
    ),
  ];
}

/** Characters that mean something to U-Boot's shell would have to be quoted, which old ones do badly. */
function isPlainPath(path: string): boolean {
  return /^[\w./+-]+$/.test(path);
}

/** Directories of device trees, in the order of U-Boot's uname_boot. */
export function deviceTreeDirectories(release: string): readonly string[] {
  return [
    `/boot/dtbs/${release}`,
    `/usr/lib/linux-image-${release}`,
    `/lib/firmware/${release}/device-tree`,
    `/boot/dtb-${release}`,
  ];
}

/** Paths where the board's device trees may lie. The copies on FAT belong to the kernel image that lies beside them. */
export function deviceTreePaths(
  facts: Facts,
  board: BeagleBoard,
  first: FirstPartition | undefined,
): readonly string[] {
  const besideKernel = first?.mount.fileSystem === 'vfat' ? [`${first.mount.target}/dtbs`] : [];
  return board.deviceTrees.flatMap((name) =>
    [...deviceTreeDirectories(facts.kernel.release), ...besideKernel].flatMap((directory) =>
      // Since Linux 6.5 the device trees of 32-bit boards lie in directories by vendor.
      [`${directory}/${name}`, `${directory}/ti/omap/${name}`],
    ),
  );
}

/** Names of images beside which older systems keep their device trees on FAT. */
export const fatKernelName = '/zImage';

function findDeviceTree(
  facts: Facts,
  board: BeagleBoard,
  { disk, first }: { disk: Disk; first: FirstPartition },
): UbootFile | readonly Finding[] {
  const custom = stockVariables(facts, disk).get('dtb');
  if (custom !== undefined && !board.deviceTrees.includes(custom)) {
    return [
      error(
        'beagle-custom-device-tree',
        `dtb=${custom}`,
        'uEnv.txt names a device tree of its own, so it is not certain that the one of the board starts it',
        'Remove dtb= from uEnv.txt, reboot, and try again if the board starts',
      ),
    ];
  }
  const onFat = `${first.mount.target}/dtbs/`;
  const path = deviceTreePaths(facts, board, first).find(
    (candidate) =>
      (listed(facts, candidate)?.sizeBytes ?? 0) > 0 &&
      (!candidate.startsWith(onFat) || isRunningKernelOn(facts, first)),
  );
  const file = path === undefined ? undefined : ubootFile(facts, disk, path);
  if (file !== undefined && isPlainPath(file.path)) return file;
  return [
    error(
      'beagle-device-tree',
      path ?? `/boot/dtbs/${facts.kernel.release}`,
      `there is no ${board.deviceTrees.join(' or ')} of the running kernel that U-Boot can read, and without it the board would wait for ever`,
      'Install the kernel package again',
    ),
  ];
}

/** Whether the kernel on FAT is the running one, by its size. */
function isRunningKernelOn(facts: Facts, { mount }: FirstPartition): boolean {
  const copy = listed(facts, `${mount.target}${fatKernelName}`);
  return copy !== undefined && copy.sizeBytes === facts.kernel.image?.sizeBytes;
}

/** Words of an old uenvcmd beyond which it is not certain that U-Boot ran it (CONFIG_SYS_MAXARGS less `test -n`). */
const oldCommandWords = 13;

function hookWay(facts: Facts, first: FirstPartition, path: string): HookWay | readonly Finding[] {
  const file = bootFile(facts, path);
  const { mount } = first;
  const scriptPath = `${directoryOf(facts, first).slice(mount.target === '/' ? 0 : mount.target.length)}/uEnv.txt`;
  if (file === undefined && listed(facts, path) === undefined) {
    return { kind: 'write', text: wholeEnvironment([], hookLines(scriptPath, false)), mode: 0o644 };
  }
  if (file === undefined || Buffer.byteLength(file.text) !== file.sizeBytes || /[\0\uFFFD]/.test(file.text)) {
    return [error('beagle-environment', path, 'it is not a text that can be read', 'Correct it and try again')];
  }
  const entries = parseUenvTxt(Buffer.from(file.text, 'utf8'));
  const before = evaluateUenv(entries);
  const oldCommand = before.get('uenvcmd');
  if (before.has(hookName) || before.has(oldCommandName)) {
    const hint = 'Run migrate undo, or remove the lines that begin with uenvcmd=run bmhook and bmhook=';
    return [error('beagle-environment', path, 'it has the lines of a migration already', hint)];
  }
  if ((oldCommand ?? '').split(/\s+/).length > oldCommandWords) {
    const message = 'its uenvcmd has more words than U-Boot may take, so it is not certain whether it is run';
    return [
      error('beagle-environment', path, message, 'Move them to a variable of their own and let uenvcmd run that'),
    ];
  }
  const hook = hookLines(scriptPath, oldCommand !== undefined);
  if (mount.fileSystem !== 'vfat') return { kind: 'write', text: wholeEnvironment(entries, hook), mode: file.mode };
  const change = findChange(entries, hook);
  if (change !== undefined) return { kind: 'switch', change };
  return [noRoom(path, hook, oldCommand !== undefined)];
}

function noRoom(path: string, hook: string, hasOldCommand: boolean): Finding {
  const lines = Math.ceil((hook.length * 2) / paddingBytes);
  return error(
    'beagle-environment-room',
    path,
    `no comment in it has room for the ${hook.length} bytes that start stage 2${hasOldCommand ? ', beside its own uenvcmd' : ''}, and on FAT only a change within one sector is safe against a power cut`,
    `Add ${lines} lines of "${'#'.repeat(paddingBytes - 1)}" ${hasOldCommand ? 'directly before the line uenvcmd=' : 'at its end'} and try again`,
  );
}

const paddingBytes = 60;

/** A change of one sector after which the file says the same but for our hook; an old uenvcmd is renamed in that very sector. */
function findChange(entries: UenvTxt, hook: string): SectorChange | undefined {
  const lines = (of: UenvTxt) =>
    of.map(({ raw, meaning }) => ({ raw, isSpare: meaning.kind === 'comment' || meaning.kind === 'blank' }));
  const before = Buffer.from(entries.map(({ raw }) => raw).join(''), 'latin1');
  const wanted = new Map([
    ...evaluateUenv(withOldCommandKept(entries)),
    ...evaluateUenv(parseUenvTxt(Buffer.from(hook))),
  ]);
  return changesInComments(lines(withOldCommandKept(entries)), hook)
    .map((change): SectorChange => {
      const length = Buffer.from(change.original, 'base64').length;
      const original = before.subarray(change.offsetBytes, change.offsetBytes + length).toString('base64');
      return { ...change, original };
    })
    .find((change) => {
      const after = evaluateUenv(parseUenvTxt(withSectorChange(before, change)));
      return after.size === wanted.size && [...wanted].every(([name, value]) => after.get(name) === value);
    });
}

/** The sector before partition 1 where it is proven free; else a file on FAT; else nothing is safe. */
function findFlag(facts: Facts, disk: Disk, { mount, partition }: FirstPartition): UbootFlag | readonly Finding[] {
  const place = flagPlace(disk);
  const obstacle =
    place === undefined ? 'there is too little room before partition 1' : gapObstacle(facts, disk, place);
  if (place !== undefined && obstacle === undefined) {
    return { place: 'gap', disk: identifyDisk(disk), offsetBytes: place.startByte };
  }
  const uuid = partition.fileSystem?.uuid;
  const isFat = mount.fileSystem === 'vfat' && uuid !== undefined;
  if (isFat && listed(facts, `${mount.target}${flagFileName}`) === undefined) {
    return { place: 'file', uuid, fileSystem: mount.fileSystem, path: flagFileName };
  }
  return [
    error(
      'beagle-no-flag',
      disk.path,
      `U-Boot cannot be made to boot once: ${obstacle ?? 'there is no free sector'}, and ${isFat ? `${mount.target}${flagFileName} is taken` : 'partition 1 is no FAT'}`,
      isFat ? `Remove ${mount.target}${flagFileName}` : 'Migrate it by a card with the flasher image of balenaOS',
    ),
  ];
}

function gapObstacle(facts: Facts, disk: Disk, place: AreaPlace): string | undefined {
  const area = areaAt(facts, place);
  if (area === undefined) return 'the place before partition 1 could not be read';
  if (area.contents !== undefined) return 'the place before partition 1 is in use';
  const uboot = areaAt(facts, ubootPlace(disk));
  if (uboot === undefined || rawLoaderBytes.some((start) => areaAt(facts, loaderPlace(disk, start)) === undefined)) {
    return 'what lies before partition 1 could not be read';
  }
  if (uboot.contents === undefined) return undefined;
  const image = readUbootImage(areaBytes(uboot));
  if (image === undefined) return 'what lies where U-Boot is expected does not say where it ends';
  return rawUbootByte + image.sizeBytes <= place.startByte ? undefined : 'U-Boot reaches up to it';
}
