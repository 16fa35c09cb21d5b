// GRUB for the lifeboat and for Windows, as images that need not be made on the machine: modules of Debian 12's packages, put
// together here.

import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { aptOptions } from './apt.ts';
import { type DebianPackage, offeredPackages } from './debian-part.ts';

// grub-common has the licence.
const packages = ['grub-pc-bin', 'grub-efi-amd64-bin', 'grub-common'];
const version = /^2\.06-13(\+deb12u\d+)?$/;
/** What reads a FAT on either kind of table, shows a menu file, and starts Linux. */
const everywhere = ['fat', 'normal', 'configfile', 'linux', 'echo', 'reboot', 'sleep'];

/**
 * What more Windows' boot needs: to find our partition by its UUID, to clear a one-shot in grubenv, to start Windows' own boot
 * manager, and to hand the firmware's screen to Linux.
 */
const forWindows = ['part_gpt', 'search', 'search_fs_uuid', 'loadenv', 'test', 'chain', 'all_video'];
/** Where GRUB looks for grub.cfg, on the partition that it was itself loaded from. */
const windowsPrefix = '/EFI/balena-migrate';

/** What apt would download now for GRUB. */
export async function grubPackages(): Promise<readonly DebianPackage[]> {
  return offeredPackages(
    packages.map((name) => ({ name, version })),
    'amd64',
  );
}

/** Directory with boot.img, core.img and BOOTX64.EFI for the lifeboat, grubx64.efi for Windows, and grub.txt; made on first use. */
export async function lifeboatPart(): Promise<string> {
  const options = await aptOptions('amd64');
  const wanted = (await grubPackages()).map((entry) => `${entry.name}=${entry.version}`).sort();
  return cached('bundle-lifeboat', [wanted, everywhere, forWindows, windowsPrefix, 2], async (directory) => {
    const downloads = join(directory, 'downloads');
    await mkdir(downloads);
    await execa('apt-get', [...options, '-o', 'APT::Sandbox::User=root', 'download', ...wanted], { cwd: downloads });
    for (const archive of await readdir(downloads))
      await execa('dpkg-deb', ['--extract', join(downloads, archive), join(downloads, 'root')]);
    const modules = join(downloads, 'root/usr/lib/grub');
    const bios = ['--format=i386-pc', '--prefix=(,msdos4)/grub', 'biosdisk', 'part_msdos'];
    const uefi = ['--format=x86_64-efi', '--prefix=/grub', 'part_gpt'];
    const make = (target: string, from: string, args: readonly string[]) =>
      execa('grub-mkimage', [
        '--directory',
        join(modules, from),
        '--output',
        join(directory, target),
        ...args,
        ...everywhere,
      ]);
    await make('core.img', 'i386-pc', bios);
    await make('BOOTX64.EFI', 'x86_64-efi', uefi);
    await make('grubx64.efi', 'x86_64-efi', ['--format=x86_64-efi', `--prefix=${windowsPrefix}`, ...forWindows]);
    await execa('cp', [join(modules, 'i386-pc/boot.img'), directory]);
    await execa('cp', [join(downloads, 'root/usr/share/doc/grub-common/copyright'), join(directory, 'grub.txt')]);
    await execa('rm', ['-r', downloads]);
  });
}
