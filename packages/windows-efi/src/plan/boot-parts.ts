// What Windows cannot lend to stage 2: a kernel, its drivers and a boot loader. They come with the bundle, in boot/.
import { type HostReader, type KernelModule, MigrateError } from '@migrate/core';

export interface BootParts {
  readonly kernel: BootPart;
  /** GRUB, which reads /EFI/balena-migrate/grub.cfg of the partition that it is started from. */
  readonly loader: BootPart;
  /** As `uname -r` will say. */
  readonly release: string;
  /** In load order. */
  readonly modules: readonly KernelModule[];
}

export interface BootPart {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Reads what is in the bundle's boot/; throws `not-found` where it is not that of the bundle for Windows. */
export async function readBootParts(host: HostReader, bundleDirectory: string): Promise<BootParts> {
  const directory = `${bundleDirectory}/boot`;
  const part = async (name: string): Promise<BootPart> => {
    const path = `${directory}/${name}`;
    const status = await host.status(path);
    if (status?.kind !== 'file')
      throw new MigrateError('not-found', `this is not the complete bundle for Windows: ${path} is missing`, {
        data: { path: bundleDirectory },
      });
    return { path, sizeBytes: status.sizeBytes };
  };
  const lines = async (name: string): Promise<string[]> =>
    ((await host.readText((await part(name)).path)) ?? '').split(/\r?\n/).filter((line) => line !== '');
  const modules: KernelModule[] = [];
  for (const file of await lines('modules/order')) {
    // The kernel writes "-" of a file's name as "_" (scripts/Makefile.lib, name-fix).
    modules.push({ name: file.replaceAll('-', '_'), ...(await part(`modules/${file}.ko`)) });
  }
  const [release = ''] = await lines('release');
  return { kernel: await part('vmlinuz'), loader: await part('grubx64.efi'), release, modules };
}
