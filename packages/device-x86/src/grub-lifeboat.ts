// A lifeboat that GRUB starts: by boot code in sector 0 on BIOS, as the removable-media loader of a GPT's only partition on UEFI.
import {
  type Disk,
  type Facts,
  type LifeboatBoot,
  type LifeboatFile,
  type LifeboatPayload,
  quoteForGrub,
  type TargetImage,
} from '@migrate/core';
import { directoryOf, placeOf } from './grub-places.ts';

const description = 'balena migrate lifeboat';
const loader = 'EFI/BOOT/BOOTX64.EFI';
/** Sectors that an MBR can name. */
const mbrLimitBytes = 2 ** 32 * 512;

/** Or why it cannot be had. */
export function grubLifeboat(
  payload: LifeboatPayload,
  machine: { readonly facts: Facts; readonly disk: Disk; readonly image: TargetImage },
): LifeboatBoot | string {
  const { facts, disk } = machine;
  return facts.firmware.kind === 'uefi' ? uefiLifeboat(payload, machine) : biosLifeboat(payload, { facts, disk });
}

function uefiLifeboat(
  payload: LifeboatPayload,
  { facts, disk, image }: { readonly facts: Facts; readonly disk: Disk; readonly image: TargetImage },
): LifeboatBoot | string {
  if (facts.firmware.kind === 'uefi' && facts.firmware.bits !== 64)
    return 'the bundle has no boot loader for 32-bit UEFI';
  if (disk.table?.kind !== 'gpt' || image.table.kind !== 'gpt')
    return 'on UEFI both the disk and the image need a GPT, whose header is the one sector that switches';
  const files: readonly LifeboatFile[] = [
    { path: loader, from: `${payload.loaderDirectory}/BOOTX64.EFI` },
    // The backup of a GPT counts for Linux too. With an MBR it must not: the image's GPT is there before the commit.
    { path: 'grub/grub.cfg', text: menuOf({ ...payload, commandLine: [...payload.commandLine, 'gpt'] }) },
  ];
  return {
    way: { kind: 'gpt', diskGuid: disk.table.id },
    files,
    entry: { description, filePath: `\\${loader.replaceAll('/', '\\')}` },
  };
}

function biosLifeboat(
  payload: LifeboatPayload,
  { facts, disk }: { readonly facts: Facts; readonly disk: Disk },
): LifeboatBoot | string {
  if (placeOf(facts, directoryOf(facts))?.disk.path !== disk.path)
    return 'the BIOS starts another disk than the one that is flashed';
  if (disk.sizeBytes > mbrLimitBytes) return 'the disk is larger than what an MBR can name (2 TiB)';
  const { table } = disk;
  // A lifeboat has an MBR whatever the disk had; a GUID's first digits are as good a signature as any.
  const diskId = table === undefined ? undefined : table.id.replaceAll('-', '').slice(0, 8);
  if (diskId === undefined || !/^[0-9a-f]{8}$/i.test(diskId)) return 'the disk has no signature';
  return {
    way: {
      kind: 'mbr',
      bootImage: `${payload.loaderDirectory}/boot.img`,
      coreImage: `${payload.loaderDirectory}/core.img`,
      diskId,
    },
    files: [{ path: 'grub/grub.cfg', text: menuOf(payload) }],
  };
}

/** A GRUB that cannot start it tries again from the firmware on: a disk may have been slow. */
function menuOf({ kernelPath, initramfsPaths, commandLine }: LifeboatPayload): string {
  return [
    'set timeout=0',
    `linux ${[kernelPath, ...commandLine].map(quoteForGrub).join(' ')}`,
    `initrd ${initramfsPaths.map(quoteForGrub).join(' ')}`,
    'boot',
    'sleep 30',
    'reboot',
    '',
  ].join('\n');
}
