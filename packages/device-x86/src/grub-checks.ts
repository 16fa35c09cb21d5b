// Everything that stands against booting once through the GRUB of a machine.
import {
  type BootEntry,
  type BootFile,
  type Facts,
  type Finding,
  MigrateError,
  mountOf,
  parseGrubEnvironment,
} from '@migrate/core';
import { readGrubMenu } from './grub-menu.ts';
import { directoryOf, menuFile, placeOf, stubPaths } from './grub-places.ts';

/** File systems in which GRUB can overwrite the environment block (its 00_header lists those in which it cannot). */
const writableByGrub = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'vfat', 'f2fs', 'jfs', 'reiserfs']);

/** All obstacles at once, each with its cure. */
export function checkGrub(facts: Facts): readonly Finding[] {
  const menu = menuFile(facts);
  if (menu === undefined) {
    return [
      error(
        'boot-manager-unknown',
        '/boot',
        'no grub.cfg was found in /boot/grub or /boot/grub2',
        'Only machines started by GRUB 2 can be migrated',
      ),
    ];
  }
  const directory = directoryOf(facts);
  return [
    ...checkMenu(menu),
    ...checkEnvironment(facts, directory),
    ...checkPlace(facts, directory),
    ...checkKernel(facts),
    ...checkFirmwarePath(facts, directory),
    ...checkLeftovers(facts, directory),
  ];
}

function checkMenu(menu: BootFile): Finding[] {
  const findings: Finding[] = [];
  const { clearsNextEntry, sourcesCustomCfg, enforcesSignatures } = readGrubMenu(menu.text);
  if (!clearsNextEntry) {
    findings.push(
      error(
        'grub-next-entry',
        menu.path,
        'the installed menu does not boot "next_entry" once and clear it first',
        'Run update-grub with the stock /etc/grub.d/00_header',
      ),
    );
  }
  if (!sourcesCustomCfg) {
    findings.push(
      error(
        'grub-custom-cfg-hook',
        menu.path,
        'the installed menu does not source custom.cfg, so a new entry would not be reachable',
        'Run update-grub with the stock /etc/grub.d/41_custom',
      ),
    );
  }
  if (enforcesSignatures) {
    findings.push(
      error(
        'grub-signatures',
        menu.path,
        'GRUB demands a signature of every file, so it would refuse the stage-2 initramfs',
        'Set check_signatures=no in /etc/grub.d and run update-grub',
      ),
    );
  }
  return findings;
}

function checkEnvironment(facts: Facts, directory: string): Finding[] {
  const path = `${directory}/grubenv`;
  const block = facts.bootFiles.find((file) => file.path === path);
  const create = `Make one with grub-editenv ${path} create`;
  if (block === undefined)
    return [
      error('grub-environment', path, 'GRUB has no environment block, so it cannot be told to boot once', create),
    ];
  try {
    const pending = parseGrubEnvironment(block.text, path).get('next_entry');
    if (pending === undefined || pending === '') return [];
    return [
      error(
        'grub-next-entry-taken',
        path,
        `another program asked GRUB to boot "${pending}" next`,
        `Reboot first, or run grub-editenv ${path} unset next_entry`,
      ),
    ];
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return [error('grub-environment', path, thrown.message, create)];
  }
}

function checkPlace(facts: Facts, directory: string): Finding[] {
  const place = placeOf(facts, directory);
  const mount = mountOf(facts.mounts, directory);
  if (place === undefined) {
    return [
      error(
        'grub-cannot-write',
        directory,
        `it lies on ${mount?.source ?? 'an unknown device'} (LVM, RAID, encryption or network), where GRUB cannot clear the one-shot entry: a failing stage 2 would be booted for ever`,
        'Move /boot to a plain partition',
      ),
    ];
  }
  const { mount: placed, partition } = place;
  const findings: Finding[] = [];
  if (!writableByGrub.has(placed.fileSystem)) {
    findings.push(
      error(
        'grub-cannot-write',
        directory,
        `GRUB cannot write to ${placed.fileSystem}, so it could not clear the one-shot entry: a failing stage 2 would be booted for ever`,
        'Move /boot to an ext4 partition',
      ),
    );
  }
  if (placed.options.includes('ro')) {
    findings.push(
      error('boot-read-only', placed.target, 'it is mounted read-only', `Run mount -o remount,rw ${placed.target}`),
    );
  }
  const uuid = partition.fileSystem?.uuid;
  const twins = facts.disks.flatMap((disk) => disk.partitions).filter((other) => other.fileSystem?.uuid === uuid);
  if (uuid === undefined || twins.length !== 1) {
    findings.push(
      error(
        'boot-uuid',
        partition.path,
        uuid === undefined
          ? 'its file system has no UUID'
          : `${twins.map((twin) => twin.path).join(' and ')} have the same file-system UUID, so GRUB could take the wrong one`,
        'Give it a UUID of its own with tune2fs -U random, and run update-grub',
      ),
    );
  }
  return findings;
}

function checkKernel(facts: Facts): Finding[] {
  const { image, release } = facts.kernel;
  if (image === undefined) {
    return [
      error(
        'kernel-image',
        '/boot',
        `the image of the running kernel ${release} is not there (an upgrade may have removed it)`,
        'Reboot into an installed kernel and try again',
      ),
    ];
  }
  if (image.release !== undefined && image.release !== release) {
    return [
      error(
        'kernel-image',
        image.path,
        `it is kernel ${image.release}, but ${release} is running, whose modules stage 2 takes`,
        'Reboot into the installed kernel and try again',
      ),
    ];
  }
  const place = placeOf(facts, image.path);
  if (place === undefined || !writableByGrub.has(place.mount.fileSystem)) {
    return [
      error(
        'kernel-image',
        image.path,
        `GRUB cannot be relied on to read it from ${mountOf(facts.mounts, image.path)?.source ?? 'there'}`,
        'Copy it to /boot, and name it there in migrate.kernel if it is not the running kernel',
      ),
    ];
  }
  return [];
}

/** The firmware must really start this GRUB: on BIOS its boot code, on UEFI the entry that was booted. */
function checkFirmwarePath(facts: Facts, directory: string): Finding[] {
  const { firmware } = facts;
  if (firmware.kind === 'bios') {
    const disk = placeOf(facts, directory)?.disk;
    if (disk?.bootCode === undefined || Buffer.from(disk.bootCode, 'base64').includes('GRUB')) return [];
    return [
      error(
        'grub-not-in-boot-sector',
        disk.path,
        'its boot sector holds no GRUB, so another loader starts this machine',
        `Run grub-install ${disk.path}`,
      ),
    ];
  }
  if (firmware.kind !== 'uefi') return [];
  const entry = firmware.bootEntries.find((candidate) => candidate.number === firmware.bootCurrent);
  if (entry?.filePath === undefined) return [];
  if (!/grub|shim|\\boot\\boot(x64|ia32)\.efi$/i.test(entry.filePath)) {
    return [
      error(
        'grub-not-booted',
        `Boot${entry.number.toString(16).padStart(4, '0')}`,
        `the firmware started "${entry.description}" (${entry.filePath}), not GRUB`,
        'Make the GRUB entry the first one with efibootmgr and reboot',
      ),
    ];
  }
  return checkStub(facts, directory, entry);
}

/** A UEFI GRUB starts from a stub beside it, which must lead to the menu that was read. */
function checkStub(facts: Facts, directory: string, entry: BootEntry): Finding[] {
  const stub = facts.bootFiles.find(
    (file) => stubPaths(facts).includes(file.path) && /search.*fs_uuid|--fs-uuid/.test(file.text),
  );
  const uuid = placeOf(facts, directory)?.partition.fileSystem?.uuid;
  if (stub === undefined || uuid === undefined || stub.text.includes(uuid)) return [];
  return [
    error(
      'grub-stub',
      stub.path,
      `"${entry.description}" leads to a menu on another file system than ${directory}`,
      'Run grub-install and reboot',
    ),
  ];
}

function checkLeftovers(facts: Facts, directory: string): Finding[] {
  const path = `${directory}/custom.cfg`;
  if (facts.bootFiles.every((file) => file.path !== path)) return [];
  return [
    error(
      'grub-custom-cfg',
      path,
      'it exists already, and files of an existing menu are never changed',
      'Move its entries to /etc/grub.d/40_custom, run update-grub, and remove it',
    ),
  ];
}

function error(code: string, where: string, message: string, hint: string): Finding {
  return { severity: 'error', code, where, message, hint };
}
