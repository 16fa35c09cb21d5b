import {
  type BootManager,
  type Disk,
  type Facts,
  type Finding,
  quoteForGrub,
  type Step,
  uefiTarget,
  warning,
} from '@migrate/core';
import { startedAlways, startsAlways } from './grub-always.ts';
import { checkGrub } from './grub-checks.ts';
import { grubLifeboat } from './grub-lifeboat.ts';
import { type BootPlace, directoryOf, grubDirectories, grubPath, menuFile, placeOf, stubPaths } from './grub-places.ts';

/** GRUB 2 on BIOS and UEFI: boots once by `next_entry` in the environment block, which GRUB clears before it boots. */
export const grub: BootManager = {
  kind: 'grub',
  bootFiles: (facts) => [
    ...grubDirectories.flatMap((directory) => [
      `${directory}/grub.cfg`,
      `${directory}/grubenv`,
      `${directory}/custom.cfg`,
    ]),
    ...stubPaths(facts),
  ],
  isInCharge: (facts) => menuFile(facts) !== undefined,
  check: checkGrub,
  checkTarget,
  bootDirectory: () => '/boot/balena-migrate',
  bootOnce,
  startsAlways,
  restoreBoot,
  bootTarget,
  lifeboat: grubLifeboat,
  // Boot code of BIOS lies in sector 0 and behind it.
  bootsFromPartitions: (facts) => facts.firmware.kind === 'uefi',
};

/** UEFI gets a boot entry for the new system; a BIOS has to be set up to start another disk than before. */
function checkTarget(target: Disk, facts: Facts): readonly Finding[] {
  const bootDisk = placeOf(facts, directoryOf(facts))?.disk;
  if (facts.firmware.kind === 'uefi' || bootDisk === undefined || bootDisk.path === target.path) return [];
  return [
    warning(
      'bios-other-disk',
      'migrate.force_flash_device',
      `GRUB lies on ${bootDisk.path}: the BIOS starts the old system again unless ${target.path} comes first in its boot order`,
      'Make sure that its setup says so before you migrate',
    ),
  ];
}

function bootOnce(payload: Parameters<BootManager['bootOnce']>[0], facts: Facts): readonly Step[] {
  const directory = directoryOf(facts);
  const kernel = grubPath(facts, payload.kernelPath);
  const initramfs = grubPath(facts, payload.initramfsPath);
  const modules = new Set([kernel.place, initramfs.place].flatMap(grubModules));
  const start = (addedWords: string): readonly string[] => [
    ...[...modules].map((module) => `  insmod ${module}`),
    `  search --no-floppy --fs-uuid --set=root ${kernel.uuid}`,
    `  linux ${[kernel.path, ...payload.commandLine].map(quoteForGrub).join(' ')}${addedWords}`,
    ...(initramfs.uuid === kernel.uuid ? [] : [`  search --no-floppy --fs-uuid --set=root ${initramfs.uuid}`]),
    `  initrd ${quoteForGrub(initramfs.path)}`,
  ];
  const text = [
    `# Made by migrate; removed by "migrate undo".`,
    `menuentry 'balena migrate' --unrestricted --id ${quoteForGrub(payload.entryId)} {`,
    ...start(''),
    '}',
    ...(payload.mayStartAlways === true ? startedAlways(payload.entryId, start) : []),
    '',
  ].join('\n');
  return [
    { kind: 'write-file', id: 'write-grub-entry', path: `${directory}/custom.cfg`, text, mode: 0o600 },
    {
      kind: 'set-grub-variable',
      id: 'arm-grub',
      path: `${directory}/grubenv`,
      name: 'next_entry',
      value: payload.entryId,
    },
  ];
}

/** The menu's own header may have loaded none of these for a file system other than its own. */
function grubModules({ disk, mount }: BootPlace): string[] {
  const fileSystem = ({ vfat: 'fat', xfs: 'xfs', f2fs: 'f2fs' } as Record<string, string>)[mount.fileSystem] ?? 'ext2';
  return [disk.table?.kind === 'gpt' ? 'part_gpt' : 'part_msdos', fileSystem];
}

function restoreBoot(facts: Facts): readonly Step[] {
  const directory = directoryOf(facts);
  const { path, uuid, place } = grubPath(facts, `${directory}/grubenv`);
  return [
    {
      kind: 'confirm-grub-variable-cleared',
      id: 'confirm-one-shot',
      pathInFileSystem: path,
      fileSystemUuid: uuid,
      fileSystemType: place.mount.fileSystem,
      name: 'next_entry',
    },
  ];
}

function bootTarget({ firmware }: Facts): readonly Step[] {
  return firmware.kind === 'uefi' ? [uefiTarget(firmware.bits)] : [];
}
