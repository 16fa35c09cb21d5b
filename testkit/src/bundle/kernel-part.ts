// Debian 12's kernel: what stage 2 runs on where the old system is no Linux.

import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { moduleFiles } from '../small-initrd.ts';
import { aptOptions } from './apt.ts';
import { type DebianPackage, offeredPackages } from './debian-part.ts';

const version = /^6\.1\.\d+-\d+(\+deb12u\d+)?$/;

/**
 * Names for modprobe of what a PC may have between its processor and its disk, and what is mounted. Nothing tells in Windows which
 * of them will be needed; a driver without its hardware costs some KiB.
 */
const wantedModules = [
  ...['ahci', 'ata_piix', 'ata_generic', 'sd_mod', 'nvme', 'vmd'],
  ...['mmc_block', 'sdhci_pci', 'sdhci_acpi', 'ufshcd_pci'],
  ...['xhci_pci', 'ehci_pci', 'uas', 'usb_storage'],
  ...['virtio_pci', 'virtio_blk', 'virtio_scsi', 'hv_storvsc', 'vmw_pvscsi', 'mptspi'],
  // A keyboard for the rescue shell.
  ...['i8042', 'atkbd', 'usbhid', 'hid_generic'],
  ...['loop', 'efivarfs', 'vfat', 'nls_cp437', 'nls_ascii', 'nls_iso8859-1', 'nls_utf8', 'ext4', 'crc32c_generic'],
];

export interface KernelPackage extends DebianPackage {
  /** As `uname -r` says it. */
  readonly release: string;
  /** The package unpacked and its modules indexed: boot/, lib/modules/, usr/share/doc/. */
  readonly root: string;
}

/** Debian's current kernel for amd64; fetched on first use. */
export async function kernelPackage(): Promise<KernelPackage> {
  const { stdout } = await execa('apt-cache', ['depends', 'linux-image-amd64']);
  const name = /Depends: (\S+)/.exec(stdout)?.[1];
  if (name === undefined) throw new Error('apt knows no kernel; run `apt-get update`');
  const [offered] = await offeredPackages([{ name, version }], 'amd64');
  if (offered === undefined) throw new Error(`apt offers no ${name}`);
  const wanted = `${offered.name}=${offered.version}`;
  const directory = await cached('debian-kernel', { wanted, recipe: 1 }, async (unfinished) => {
    const options = [...(await aptOptions('amd64')), '-o', 'APT::Sandbox::User=root'];
    await execa('apt-get', [...options, 'download', wanted], { cwd: unfinished });
    const [archive = ''] = await readdir(unfinished);
    const root = join(unfinished, 'root');
    await execa('dpkg-deb', ['--extract', join(unfinished, archive), root]);
    await rm(join(unfinished, archive));
    await execa('depmod', ['--basedir', root, ...(await readdir(join(root, 'lib/modules')))]);
  });
  const root = join(directory, 'root');
  const [release = ''] = await readdir(join(root, 'lib/modules'));
  return { ...offered, release, root };
}

/**
 * Fills `boot` with vmlinuz, the modules as modules/NAME.ko and their names in load order, a line each, as modules/order; the
 * licence goes to `licenses`.
 */
export async function kernelPart(kernel: KernelPackage, boot: string, licenses: string): Promise<void> {
  const { root, release } = kernel;
  await mkdir(join(boot, 'modules'), { recursive: true });
  await copyFile(join(root, `boot/vmlinuz-${release}`), join(boot, 'vmlinuz'));
  await writeFile(join(boot, 'release'), `${release}\n`);
  const names: string[] = [];
  for (const file of await moduleFiles({ root, release, modules: wantedModules })) {
    // The kernel takes both for the same, and calls a module by the latter.
    const name = basename(file, '.ko').replaceAll('-', '_');
    names.push(name);
    await copyFile(file, join(boot, 'modules', `${name}.ko`));
  }
  await writeFile(join(boot, 'modules/order'), names.map((name) => `${name}\n`).join(''));
  await copyFile(join(root, 'usr/share/doc', kernel.name, 'copyright'), join(licenses, 'linux.txt'));
}
