// Files of the emulated Beagle that are its firmware: the environment flash of its U-Boot, its device tree, and what MLO and
// u-boot.img of a medium are in this model.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import {
  type Board,
  type Environment,
  environmentText,
  imageHeaderBytes,
  rawLoaderOffset,
  rawUbootOffset,
  ubootRegionBytes,
} from './beagle-environment.ts';

/** Where U-Boot for QEMU's virt machine keeps its environment: all of the second flash bank (configs/qemu_arm_defconfig). */
const environmentBytes = 0x40000;
const flashBytes = 64 * 1024 * 1024;

export const machineArguments = ['-machine', 'virt,highmem=off', '-cpu', 'cortex-a15', '-m', '1536'] as const;

/** Writes the second flash bank with this environment. */
export async function writeEnvironmentFlash(path: string, environment: Environment): Promise<void> {
  await execa('mkenvimage', ['-s', String(environmentBytes), '-o', path, '-'], { input: environmentText(environment) });
  await execa('truncate', ['-s', String(flashBytes), path]);
}

const names: Record<Board, { readonly model: string; readonly compatible: string }> = {
  'beaglebone-black': { model: 'TI AM335x BeagleBone Black', compatible: 'ti,am335x-bone-black' },
  'beagleboard-xm': { model: 'TI OMAP3 BeagleBoard xM', compatible: 'ti,omap3-beagle-xm' },
};

/**
 * Device tree of the emulated machine under a Beagle's name. Without the names of the SoC ("ti,am33xx"), by which the kernel
 * would look for hardware that is not there.
 */
export async function deviceTree(board: Board): Promise<string> {
  const qemu = (await execa('qemu-system-arm', ['--version'])).stdout.split('\n')[0];
  const directory = await cached(
    `device-tree-${board}`,
    { qemu, machineArguments, names: names[board] },
    async (made) => {
      const path = join(made, 'board.dtb');
      const [option, machine, ...others] = machineArguments;
      await execa('qemu-system-arm', [option, `${machine},dumpdtb=${path}`, ...others, '-display', 'none']);
      const { model, compatible } = names[board];
      await execa('fdtput', ['-t', 's', path, '/', 'model', model]);
      await execa('fdtput', ['-t', 's', path, '/', 'compatible', compatible, 'linux,dummy-virt']);
    },
  );
  return join(directory, 'board.dtb');
}

/** An MLO as raw mode wants it: a table of contents that names CHSETTINGS (AM335x TRM 26.1.10). */
export function loader(): Buffer {
  const bytes = Buffer.alloc(1024);
  bytes.writeUInt32LE(0x40, 0);
  bytes.writeUInt32LE(0x0c, 4);
  bytes.write('CHSETTINGS', 0x14, 'latin1');
  bytes.fill(0xff, 0x20, 0x40);
  // How much follows this header (U-Boot: tools/gpheader.h).
  bytes.writeUInt32LE(bytes.length - 0x208, 0x200);
  return bytes;
}

/** A u-boot.img: a legacy image whose contents are the environment that this U-Boot would have built in. */
export async function ubootImage(environment: Environment): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-uboot-'));
  try {
    await mkdir(directory, { recursive: true });
    const [text, image] = [join(directory, 'environment'), join(directory, 'u-boot.img')];
    await writeFile(text, environmentText(environment));
    const kind = ['-A', 'arm', '-O', 'u-boot', '-T', 'firmware', '-C', 'none', '-n', 'U-Boot 2019.04'];
    await execa('mkimage', [...kind, '-a', '0x80800000', '-d', text, image]);
    const bytes = await readFile(image);
    if (bytes.length > ubootRegionBytes)
      throw new Error(`the environment is too large: ${bytes.length - imageHeaderBytes} bytes`);
    return bytes;
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** What Debian's images have between partition table and first partition: byte offset and contents. */
export async function rawBootLoader(environment: Environment): Promise<ReadonlyMap<number, Buffer>> {
  return new Map([
    [rawLoaderOffset, loader()],
    [rawUbootOffset, await ubootImage(environment)],
  ]);
}
