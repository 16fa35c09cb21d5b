// How a Beagle starts an image that is shaped like balenaOS: MLO and u-boot.img on the boot partition, and the kernel beside
// them.
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BootParts, TargetBoot } from '../balena-image.ts';
import { type Board, balenaEnvironment } from './beagle-environment.ts';
import { deviceTree, loader, ubootImage } from './beagle-firmware.ts';
import { beagleRoot, type KernelTree } from './beagle-old-systems.ts';

/** As small as the parts can be: an emulated SD card writes some MiB a second. */
const sizesMib = { boot: 20, rootA: 8, rootB: 8, state: 6, data: 12 };

export async function beagleTarget(board: Board): Promise<TargetBoot> {
  const kernel = await beagleRoot();
  const tree = await deviceTree(board);
  return {
    key: { board, kernel, tree, environment: balenaEnvironment('') },
    architecture: 'armv7hf',
    sizesMib,
    system: {
      ...kernel,
      busybox: join(kernel.root, 'bin/busybox'),
      modules: ['sdhci-pci', 'vfat', 'nls_cp437', 'nls_ascii', 'crc32c_generic', 'ext4'],
    },
    fill: (directory, parts) => fill(directory, parts, { kernel, tree }),
  };
}

async function fill(
  directory: string,
  parts: BootParts,
  { kernel, tree }: { kernel: KernelTree; tree: string },
): Promise<void> {
  const commandLine = ['console=ttyAMA0,115200n8', 'panic=-1', 'quiet', ...parts.commandLine].join(' ');
  await writeFile(join(directory, 'MLO'), loader());
  await writeFile(join(directory, 'u-boot.img'), await ubootImage(balenaEnvironment(commandLine)));
  await copyFile(join(kernel.root, `boot/vmlinuz-${kernel.release}`), join(directory, 'zImage'));
  await copyFile(tree, join(directory, 'board.dtb'));
  await parts.writeInitrd(join(directory, 'initrd'));
}
