// The fake Windows on a machine with Secure Boot: its boot manager must be signed by Microsoft, and what comes so in Debian is shim,
// which starts Debian's signed GRUB.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { aptOptions } from '../bundle/apt.ts';
import { offeredPackages } from '../bundle/debian-part.ts';
import { cached } from '../cached.ts';
import { readVariables, writeVariables } from './ovmf-variables.ts';
import { bootManagerCommands, espStart, type WindowsDisk, windowsEntry } from './windows-disk.ts';

/** Directory with bootmgfw.efi and grubx64.efi, which it starts. */
async function signedBoot(): Promise<string> {
  const packages = await offeredPackages(
    ['shim-signed', 'grub-efi-amd64-signed'].map((name) => ({ name, version: /^1/ })),
    'amd64',
  );
  const wanted = packages.map(({ name, version }) => `${name}=${version}`);
  return cached('signed-boot', wanted, async (directory) => {
    const downloads = join(directory, 'downloads');
    await mkdir(downloads);
    const options = [...(await aptOptions('amd64')), '-o', 'APT::Sandbox::User=root'];
    await execa('apt-get', [...options, 'download', ...wanted], { cwd: downloads });
    for (const archive of await readdir(downloads))
      await execa('dpkg-deb', ['--extract', join(downloads, archive), join(downloads, 'root')]);
    const root = join(downloads, 'root/usr/lib');
    await execa('cp', [join(root, 'shim/shimx64.efi.signed'), join(directory, 'bootmgfw.efi')]);
    await execa('cp', [join(root, 'grub/x86_64-efi-signed/grubx64.efi.signed'), join(directory, 'grubx64.efi')]);
    await rm(downloads, { recursive: true });
  });
}

/** Turns Secure Boot on, with Microsoft's keys. */
export async function turnSecureBootOn({ disk, variables }: WindowsDisk): Promise<void> {
  const signed = await signedBoot();
  const esp = ['-i', `${disk}@@${espStart}`];
  for (const name of await readdir(signed))
    await execa('mcopy', ['-o', ...esp, join(signed, name), `::/EFI/Microsoft/Boot/${name}`]);
  // Where Debian's GRUB looks, whatever directory it is in.
  const menu = `${disk}.grub.cfg`;
  await writeFile(menu, bootManagerCommands);
  await execa('mmd', [...esp, '::/EFI/debian']);
  await execa('mcopy', [...esp, menu, '::/EFI/debian/grub.cfg']);
  await rm(menu);
  const keys = await readFile('/usr/share/OVMF/OVMF_VARS_4M.ms.fd');
  await writeFile(variables, writeVariables(keys, windowsEntry(readVariables(keys))));
}
