// The lifeboat of a board of fixtures/machines, as its firmware would find it.
import type { Facts, LifeboatBoot } from '@migrate/core';
import { soundAssets } from '@migrate/core/testing';
import { modelNamed, piFirmware } from '@migrate/device-rpi';
import type { BootFiles } from './pi-firmware.ts';
import { piMachine } from './pi-machine.ts';

export const addedWords = ['rdinit=/migrate/init', 'rootfstype=ramfs', 'panic=10', 'migrate.lifeboat'];

/** What the boot manager says of a lifeboat on the disk that the board starts from. */
export function piLifeboatOf(facts: Facts): LifeboatBoot | string {
  const [disk] = facts.disks;
  const { image } = soundAssets(modelNamed(facts.hardware.deviceTreeModel)?.deviceTypes[0] ?? '');
  if (disk === undefined || image === undefined) throw new Error('the fixture has no disk or no image');
  const payload = {
    kernelPath: '/vmlinuz',
    initramfsPaths: ['/stage2.img', '/payload.img'],
    commandLine: addedWords,
    loaderDirectory: '/opt/migrate/runtime/lifeboat',
  };
  return piFirmware.lifeboat?.(payload, { facts, disk, image }) ?? 'none is known';
}

/** The files of its volume. */
export function lifeboatFiles(facts: Facts, { kernel, initramfs, files }: LifeboatBoot): BootFiles {
  const { bootFiles, directory } = piMachine(facts);
  const old = bootFiles();
  const volume = new Map<string, Uint8Array>([[initramfs ?? '', Buffer.from('initramfs')]]);
  const copy = (path: string, from: string): void => {
    const contents = old.get(from.slice(directory.length + 1));
    if (contents === undefined) throw new Error(`there is no ${from}`);
    volume.set(path, contents);
  };
  if (kernel !== undefined) copy(kernel.path, kernel.from);
  for (const file of files) {
    if ('text' in file) volume.set(file.path, Buffer.from(file.text));
    else if ('from' in file) copy(file.path, file.from);
    else if ('fromDirectory' in file)
      for (const name of file.names ?? [])
        copy(file.path === '' ? name : `${file.path}/${name}`, `${file.fromDirectory}/${name}`);
  }
  return volume;
}
