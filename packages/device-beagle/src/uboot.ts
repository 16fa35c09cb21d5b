import { type BootManager, type Disk, error, type Facts, type Finding, MigrateError, type Step } from '@migrate/core';
import { beagleLifeboat, loaderNames } from './beagle-lifeboat.ts';
import {
  areasToRead,
  boardOf,
  bootMediumOf,
  firstPartitionOf,
  mediumTypePath,
  mmcDisks,
  rootDisk,
  ubootFile,
} from './boot-medium.ts';
import { flagSectorBytes, initramfsName, scriptName, scriptText } from './boot-script.ts';
import { type BootDecision, decideBoot, directoryOf, isRefusal } from './boot-way.ts';
import { flagFileName } from './flag-way.ts';
import { deviceTreePaths, fatKernelName } from './kernel-files.ts';
import { flowPaths } from './stock-flow.ts';
import { checkUboot } from './uboot-checks.ts';

/**
 * U-Boot on a Beagle board. Its /uEnv.txt gets a hook, or a new /boot.scr is one before its extlinux.conf. It loads a script of ours,
 * and that one starts stage 2 where one sector says so, which it clears before. The running kernel and its device tree are started
 * from where they lie.
 */
export const beagleUboot: BootManager = {
  kind: 'beagle-u-boot',
  bootAreas: (facts) => (mayBeBeagle(facts) ? areasToRead(facts) : []),
  bootListing: (facts) => (mayBeBeagle(facts) ? namesToList(facts) : []),
  bootFiles: (facts) => (mayBeBeagle(facts) ? [...flowPaths(facts), ...mmcDisks(facts).map(mediumTypePath)] : []),
  isInCharge: (facts) => boardOf(facts) !== undefined,
  check: checkUboot,
  checkTarget,
  bootDirectory: (facts) => {
    const disk = rootDisk(facts);
    const first = disk === undefined ? undefined : firstPartitionOf(facts, disk);
    return first === undefined ? '/boot/balena-migrate' : directoryOf(facts, first);
  },
  bootOnce,
  restoreBoot: (facts) => [{ kind: 'confirm-uboot-flag-cleared', id: 'confirm-one-shot', flag: decided(facts).flag }],
  // The image brings its own loaders, and the ROM reads them from where the old ones were.
  bootTarget: () => [],
  lifeboat: beagleLifeboat,
  // Raw copies of MLO and U-Boot lie before the first partition.
  bootsFromPartitions: () => false,
};

/** The card comes before the eMMC for U-Boot, the eMMC before the card for the ROM: what would start another medium is not certain. */
function checkTarget(target: Disk, facts: Facts): readonly Finding[] {
  const disk = rootDisk(facts);
  if (disk === undefined || disk.path === target.path) return [];
  return [
    error(
      'beagle-other-disk',
      'migrate.force_flash_device',
      `the board starts from ${disk.path}, and it is not certain that it would start what is flashed to ${target.path}`,
      `Remove the setting, or start this system from ${target.path} first, without another medium in the board`,
    ),
  ];
}

/** Before the EEPROM was read, it is not known which board it is. */
function mayBeBeagle(facts: Facts): boolean {
  return facts.firmware.kind === 'device-tree' && /Beagle/.test(facts.hardware.deviceTreeModel ?? '');
}

function namesToList(facts: Facts): readonly string[] {
  const board = boardOf(facts);
  const disk = rootDisk(facts);
  if (board === undefined || disk === undefined) return flowPaths(facts);
  const first = firstPartitionOf(facts, disk);
  const ofFirst =
    first === undefined
      ? []
      : [fatKernelName, flagFileName, ...loaderNames].map((name) => `${first.mount.target}${name}`);
  return [
    ...flowPaths(facts),
    ...deviceTreePaths(facts, board, first),
    ...(first?.mount.target === '/' ? [] : ofFirst),
  ];
}

/** Only called where `check` found nothing. */
function decided(facts: Facts): BootDecision {
  const [board, medium] = [boardOf(facts), bootMediumOf(facts)];
  const decision = board === undefined || medium === undefined ? [] : decideBoot(facts, board, medium);
  if (isRefusal(decision)) throw new MigrateError('unsupported', 'there is no way to boot this board once');
  return decision;
}

function bootOnce(payload: Parameters<BootManager['bootOnce']>[0], facts: Facts): readonly Step[] {
  const { medium, directory, hookPath, hook, variables, flag, flagPath, kernel, deviceTree } = decided(facts);
  const initramfs = ubootFile(facts, medium.disk, payload.initramfsPath);
  if (initramfs === undefined || payload.initramfsPath !== `${directory}/${initramfsName}`)
    throw new Error(`the initramfs is expected in ${directory}, not ${payload.initramfsPath}`);
  const text = scriptText({ medium: variables, flag, kernel, deviceTree, initramfs, commandLine: payload.commandLine });
  const emptyFlag = '\0'.repeat(flagSectorBytes);
  return [
    { kind: 'write-file', id: 'write-boot-script', path: `${directory}/${scriptName}`, text, mode: 0o600 },
    ...(flag.place === 'file'
      ? [{ kind: 'write-file', id: 'write-flag', path: flagPath, text: emptyFlag, mode: 0o600 } satisfies Step]
      : []),
    hook.kind === 'write'
      ? { kind: 'write-file', id: 'write-hook', path: hookPath, ...hook.contents }
      : { kind: 'switch-uboot-environment', id: 'write-hook', path: hookPath, change: hook.change },
    { kind: 'set-uboot-flag', id: 'arm-u-boot', flag, path: flagPath },
  ];
}
