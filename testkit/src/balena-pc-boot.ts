// How a PC starts an image that is shaped like balenaOS: by GRUB, with BIOS and with UEFI.
import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { BootParts, TargetBoot } from './balena-image.ts';
import { debianRoot } from './debian-disk.ts';

const recipe = 1;

export async function pcBoot(table: 'mbr' | 'gpt'): Promise<TargetBoot> {
  const root = join(await debianRoot(), 'root');
  const [release = ''] = await readdir(join(root, 'lib/modules'));
  return {
    key: { recipe, release },
    architecture: 'amd64',
    sizesMib: { boot: 40, rootA: 24, rootB: 24, state: 20, data: 48 },
    system: {
      busybox: '/bin/busybox',
      root,
      release,
      modules: ['virtio_pci', 'virtio_blk', 'vfat', 'nls_cp437', 'nls_ascii', 'crc32c_generic', 'ext4'],
    },
    fill: (tree, parts) => fill(tree, parts, { kernel: join(root, `boot/vmlinuz-${release}`), table }),
    installLoader: (image, directory) => installBiosGrub(image, { directory, table }),
  };
}

async function fill(
  tree: string,
  parts: BootParts,
  { kernel, table }: { kernel: string; table: 'mbr' | 'gpt' },
): Promise<void> {
  const menu = [
    'serial --unit=0 --speed=115200',
    'terminal_input console serial',
    'terminal_output console serial',
    'set timeout=0',
    `linux /bzImage console=ttyS0,115200 panic=-1 ${parts.commandLine.join(' ')}`,
    'initrd /initrd',
    'boot',
    '',
  ].join('\n');
  for (const path of ['grub', 'EFI/BOOT']) {
    await mkdir(join(tree, path), { recursive: true });
    await writeFile(join(tree, path, 'grub.cfg'), menu);
  }
  await copyFile(kernel, join(tree, 'bzImage'));
  await parts.writeInitrd(join(tree, 'initrd'));
  const program = join(tree, 'EFI/BOOT/bootx64.efi');
  const modules = [...modulesFor(table), 'configfile', 'all_video'];
  await execa('grub-mkimage', ['-O', 'x86_64-efi', '-p', '/EFI/BOOT', '-o', program, ...modules]);
}

function modulesFor(table: 'mbr' | 'gpt'): readonly string[] {
  const tableModule = table === 'gpt' ? 'part_gpt' : 'part_msdos';
  return [tableModule, 'fat', 'normal', 'linux', 'echo', 'serial', 'terminal', 'boot'];
}

/** GRUB for BIOS: boot.img in sector 0, its core in the gap before the first partition, as grub-install would put it on MBR. */
async function installBiosGrub(
  image: string,
  { directory, table }: { directory: string; table: 'mbr' | 'gpt' },
): Promise<void> {
  const core = join(directory, 'core.img');
  const partition = table === 'gpt' ? 'gpt1' : 'msdos1';
  const modules = ['biosdisk', ...modulesFor(table)];
  await execa('grub-mkimage', ['-O', 'i386-pc', '-p', `(hd0,${partition})/grub`, '-o', core, ...modules]);
  // GPT keeps its entries in sectors 2 to 33; the gap behind them is free up to the first partition.
  const coreSector = table === 'gpt' ? 34 : 1;
  const bootImage = join(directory, 'boot.img');
  await copyFile('/usr/lib/grub/i386-pc/boot.img', bootImage);
  await patch(bootImage, 0x5c, coreSector);
  await patch(core, 0x1f4, coreSector + 1);
  await execa('dd', [`if=${bootImage}`, `of=${image}`, 'bs=440', 'count=1', 'conv=notrunc', 'status=none']);
  await execa('dd', [`if=${core}`, `of=${image}`, 'bs=512', `seek=${coreSector}`, 'conv=notrunc', 'status=none']);
  await rm(core);
  await rm(bootImage);
}

/** Writes a 64-bit sector number where GRUB's boot code keeps the place of what it loads next. */
async function patch(path: string, offset: number, sector: number): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(sector));
  await execa('dd', [`of=${path}`, 'bs=1', `seek=${offset}`, 'conv=notrunc', 'status=none'], { input: bytes });
}
