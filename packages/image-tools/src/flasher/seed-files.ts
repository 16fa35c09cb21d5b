// Single files of the boot partition that the original extract.sh takes out.
import { type ByteReader, MigrateError } from '@migrate/core';
import type { Inspection } from '../inspect/inspect-image.ts';
import { readBootFile } from './boot-files.ts';

export type SeedFile = 'config' | 'grub' | 'grub-boot' | 'grub-core';

/** Where each may lie, the first that is there counts: a flasher image keeps what it installs under names of its own. */
const paths: Readonly<Record<SeedFile, readonly string[]>> = {
  config: ['/config.json'],
  grub: ['/grub.cfg_internal', '/EFI/BOOT/grub.cfg', '/grub/grub.cfg'],
  'grub-boot': ['/grub/boot.img'],
  'grub-core': ['/grub/core.img'],
};

/** Throws `not-found` where the boot partition has no such file. */
export async function readSeedFile(
  image: ByteReader,
  inspection: Inspection,
  file: SeedFile,
): Promise<{ readonly path: string; readonly bytes: Uint8Array }> {
  for (const path of paths[file]) {
    const bytes = await readBootFile(image, inspection, path);
    if (bytes !== undefined) return { path, bytes };
  }
  const cure = file === 'config' ? '; download it from the dashboard of the fleet' : '';
  throw new MigrateError('not-found', `its boot partition has no ${paths[file].join(' or ')}${cure}`);
}
