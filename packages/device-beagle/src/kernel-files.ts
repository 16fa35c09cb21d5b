// The running kernel and the device tree of the board, as U-Boot finds them.
import { type Disk, error, type Facts, type Finding } from '@migrate/core';
import type { BeagleBoard } from './boards.ts';
import {
  areaAt,
  areaBytes,
  type FirstPartition,
  kernelPlace,
  listed,
  type UbootFile,
  ubootFile,
} from './boot-medium.ts';
import { stockVariables } from './stock-flow.ts';

/** Magic number of a zImage (arch/arm/boot/compressed/head.S), little-endian. */
const zImageMagic = 0x016f2818;
const zImageMagicOffset = 0x24;

/** The running kernel, in place: it is known to drive this board. */
export function findKernel(facts: Facts, disk: Disk): UbootFile | readonly Finding[] {
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
function deviceTreeDirectories(release: string): readonly string[] {
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

export function findDeviceTree(
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
        'the boot files name another device tree than that of the board, so it is not certain that the latter starts it',
        'Name that of the board there, reboot, and try again if the board starts',
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
