import {
  type BootManager,
  type BootRestore,
  type Disk,
  error,
  type Facts,
  type Finding,
  MigrateError,
  type Step,
} from '@migrate/core';
import {
  bootModeProperty,
  bootPartitionOf,
  directoriesToList,
  mailboxDevice,
  partitionProperty,
  serialProperty,
  signedProperty,
  textFilesOf,
  trybootProperty,
  vcmailboxPaths,
} from './boot-partition.ts';
import { type BootDecision, commandLineName, decideBoot, directoryName, initramfsName } from './boot-way.ts';
import { printCommandLine, stage2Words } from './cmdline-txt.ts';
import { checkFirmware } from './firmware-checks.ts';
import { modelNamed } from './models.ts';
import { piLifeboat } from './pi-lifeboat.ts';

/**
 * The firmware of the Raspberry Pi. Where it knows tryboot it boots once through a file of our own; else through one sector of
 * config.txt, which stage 2 puts back first. The running kernel is started from where it lies, so that a small boot partition
 * takes no more than the initramfs.
 */
export const piFirmware: BootManager = {
  kind: 'raspberry-pi-firmware',
  bootListing: (facts) => (isPi(facts) ? [...directoriesToList(facts), ...vcmailboxPaths, mailboxDevice] : []),
  bootFiles: (facts) =>
    isPi(facts)
      ? [
          ...textFilesOf(facts),
          ...[trybootProperty, partitionProperty, bootModeProperty, signedProperty, serialProperty],
        ]
      : [],
  isInCharge: isPi,
  check: checkFirmware,
  checkTarget,
  bootDirectory: (facts) => {
    const decision = decisionFor(facts);
    const directory = bootPartitionOf(facts)?.directory ?? '/boot';
    return `${directory}/${decision?.selection.prefix ?? ''}${directoryName}`;
  },
  bootOnce,
  restoreAtOnce,
  restoreBoot,
  // The image brings its own firmware, and the board reads it from where the old one was.
  bootTarget: () => [],
  lifeboat: (payload, machine) => {
    const decision = decisionFor(machine.facts);
    return decision === undefined ? 'there is no way to boot this board once' : piLifeboat(payload, decision, machine);
  },
  bootsFromPartitions: () => true,
};

/** The board starts from the medium that its firmware reads, whatever is flashed elsewhere. */
function checkTarget(target: Disk, facts: Facts): readonly Finding[] {
  const bootDisk = bootPartitionOf(facts)?.disk;
  if (bootDisk === undefined || bootDisk.path === target.path) return [];
  return [
    error(
      'rpi-other-disk',
      'migrate.force_flash_device',
      `the board starts from ${bootDisk.path} and would not start what is flashed to ${target.path}`,
      `Remove the setting, or start this system from ${target.path} first`,
    ),
  ];
}

function isPi(facts: Facts): boolean {
  return facts.firmware.kind === 'device-tree' && modelNamed(facts.hardware.deviceTreeModel) !== undefined;
}

function decisionFor(facts: Facts): BootDecision | undefined {
  const model = modelNamed(facts.hardware.deviceTreeModel);
  const partition = bootPartitionOf(facts);
  if (model === undefined || partition === undefined) return undefined;
  const decision = decideBoot(facts, model, partition);
  return 'way' in decision ? decision : undefined;
}

/** Only called where `check` found nothing. */
function decided(facts: Facts): BootDecision {
  const decision = decisionFor(facts);
  if (decision === undefined) throw new MigrateError('unsupported', 'there is no way to boot this board once');
  return decision;
}

function bootOnce(payload: Parameters<BootManager['bootOnce']>[0], facts: Facts): readonly Step[] {
  const { partition, words, way } = decided(facts);
  const bootDirectory = piFirmware.bootDirectory(facts);
  if (payload.initramfsPath !== `${bootDirectory}/${initramfsName}`)
    throw new Error(`the initramfs is expected in ${bootDirectory}, not ${payload.initramfsPath}`);
  const text = printCommandLine(
    stage2Words({ old: words, running: facts.kernel.commandLine, wanted: payload.commandLine }),
  );
  const path = `${bootDirectory}/${commandLineName}`;
  const commandLine: Step = { kind: 'write-file', id: 'write-command-line', path, text, mode: 0o600 };
  if (way.kind === 'switch') {
    return [
      commandLine,
      {
        kind: 'switch-rpi-config',
        id: 'arm-config',
        path: `${partition.directory}/config.txt`,
        change: way.change,
      },
    ];
  }
  return [
    commandLine,
    {
      kind: 'write-file',
      id: 'write-tryboot',
      path: `${partition.directory}/tryboot.txt`,
      text: way.text,
      mode: 0o600,
    },
    { kind: 'set-rpi-tryboot', id: 'arm-tryboot', command: way.command },
  ];
}

function restoreAtOnce(facts: Facts): BootRestore | undefined {
  const { partition, way } = decided(facts);
  if (way.kind === 'tryboot') return undefined;
  const { fileSystem } = partition.partition;
  return { ...way.change, uuid: fileSystem?.uuid ?? '', fileSystem: partition.mount.fileSystem, path: '/config.txt' };
}

function restoreBoot(facts: Facts): readonly Step[] {
  const restore = restoreAtOnce(facts);
  return [
    restore === undefined
      ? { kind: 'confirm-rpi-tryboot', id: 'confirm-one-shot' }
      : { kind: 'restore-rpi-config', id: 'restore-config', restore },
  ];
}
