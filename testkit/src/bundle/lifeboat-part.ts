// GRUB for the lifeboat, as images that need not be made on the machine: modules of Debian 12's packages, put together here.

import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { aptOptions } from './apt.ts';
import { offeredPackages } from './debian-part.ts';

// grub-common has the licence.
const packages = ['grub-pc-bin', 'grub-efi-amd64-bin', 'grub-common'];
const version = /^2\.06-13(\+deb12u\d+)?$/;
/** What reads a FAT on either kind of table, shows a menu file, and starts Linux. */
const everywhere = ['fat', 'normal', 'configfile', 'linux', 'echo', 'reboot', 'sleep'];

export interface LifeboatPart {
  /** With boot.img, core.img, BOOTX64.EFI, and GRUB's licence in grub.txt. */
  readonly directory: string;
  readonly packages: readonly { readonly name: string; readonly version: string }[];
}

/** Made on first use. */
export async function lifeboatPart(): Promise<LifeboatPart> {
  const options = await aptOptions('amd64');
  const offered = await offeredPackages(
    packages.map((name) => ({ name, version })),
    'amd64',
  );
  const wanted = offered.map((entry) => `${entry.name}=${entry.version}`).sort();
  const directory = await cached('bundle-lifeboat', [wanted, everywhere, 1], async (made) => {
    const downloads = join(made, 'downloads');
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
        join(made, target),
        ...args,
        ...everywhere,
      ]);
    await make('core.img', 'i386-pc', bios);
    await make('BOOTX64.EFI', 'x86_64-efi', uefi);
    await execa('cp', [join(modules, 'i386-pc/boot.img'), made]);
    await execa('cp', [join(downloads, 'root/usr/share/doc/grub-common/copyright'), join(made, 'grub.txt')]);
    await execa('rm', ['-r', downloads]);
  });
  return { directory, packages: offered };
}
