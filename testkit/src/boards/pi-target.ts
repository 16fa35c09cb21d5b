// How a Raspberry Pi starts an image that is shaped like balenaOS: Debian's kernel under the names that the firmware looks for.
// Its firmware files are stand-ins; and balenaOS has U-Boot between firmware and kernel, which is left out here.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { BootParts, TargetBoot } from '../balena-image.ts';
import { releases } from '../foreign-root.ts';
import { oldSystemRoot } from './pi-card.ts';
import { type OldSystem, oldSystems, type PiSystemName } from './pi-old-systems.ts';

const recipe = 1;

/** The new system for the board of an old one; small, as an emulated card takes seconds for a few megabytes. */
export async function piTarget(name: PiSystemName): Promise<TargetBoot> {
  const system = oldSystems[name];
  const root = await oldSystemRoot(name);
  const [release = ''] = await releases(root);
  return {
    key: { recipe, name, release },
    architecture: system.architecture === 'arm64' ? 'aarch64' : 'armv7hf',
    sizesMib: { boot: 32, rootA: 8, rootB: 8, state: 8, data: 16 },
    system: {
      busybox: join(root, 'bin/busybox'),
      root,
      release,
      modules: ['bcm2835', 'bcm2835_wdt', 'vfat', 'nls_cp437', 'nls_ascii', 'crc32c_generic', 'ext4'],
    },
    fill: (tree, parts) => fill(tree, parts, { system, root, release }),
  };
}

async function fill(
  tree: string,
  { commandLine, writeInitrd }: BootParts,
  { system, root, release }: { system: OldSystem; root: string; release: string },
): Promise<void> {
  const is64Bit = system.architecture === 'arm64';
  const config = [`arm_64bit=${is64Bit ? 1 : 0}`, 'enable_uart=1', 'disable_splash=1', 'initramfs initrd followkernel'];
  const arguments_ = ['console=tty1', 'console=serial0,115200', 'quiet', 'panic=-1', ...commandLine];
  await writeFile(join(tree, 'config.txt'), `${config.join('\n')}\n`);
  await writeFile(join(tree, 'cmdline.txt'), `${arguments_.join(' ')}\n`);
  for (const file of ['bootcode.bin', 'start.elf', 'fixup.dat']) await writeFile(join(tree, file), 'no firmware\n');
  await mkdir(join(tree, 'overlays'));
  const { name, upstream } = system.deviceTree;
  await copyFile(join(root, `usr/lib/linux-image-${release}`, upstream), join(tree, name));
  await writeInitrd(join(tree, 'initrd'));
  const kernel = join(root, `boot/vmlinuz-${release}`);
  const packed = is64Bit
    ? (await execa('gzip', ['-6nc', kernel], { encoding: 'buffer', maxBuffer: 2 ** 26 })).stdout
    : await readFile(kernel);
  await writeFile(join(tree, system.kernelFile), packed);
}
