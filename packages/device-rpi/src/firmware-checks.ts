// Everything that stands against booting once through the firmware of a Raspberry Pi.
import { error, type Facts, type Finding, mountOf, partitionOf, warning } from '@migrate/core';
import {
  type BootPartition,
  bootFile,
  bootPartitions,
  listed,
  partitionProperty,
  propertyNumber,
} from './boot-partition.ts';
import { type BootDecision, decideBoot } from './boot-way.ts';
import { argumentValue } from './cmdline-txt.ts';
import { parseConfigTxt } from './config-txt.ts';
import { modelNamed } from './models.ts';

/** COMMAND_LINE_SIZE of arch/arm and arch/arm64 (include/uapi/asm/setup.h). */
const commandLineLimit = { arm: 1024, aarch64: 2048 } as const;
/** What stage 2 adds to the command line, with room for the operator's own. */
const addedBytes = 128;

/** All obstacles at once, each with its cure. */
export function checkFirmware(facts: Facts): readonly Finding[] {
  const model = modelNamed(facts.hardware.deviceTreeModel);
  if (model === undefined) {
    const name = facts.hardware.deviceTreeModel ?? 'this machine';
    return [error('rpi-model', name, 'it is not in the table of boards', 'See the supported devices in the README')];
  }
  const [partition, ...others] = bootPartitions(facts);
  if (partition === undefined || others.length > 0) return [partitionFinding(others.length > 0)];
  const decision = decideBoot(facts, model, partition);
  return [
    ...checkPartition(facts, partition),
    ...checkAutoboot(facts, partition),
    ...('way' in decision
      ? [
          ...checkKernel(facts, decision),
          ...checkCommandLine(facts, decision),
          ...tellOfOldFirmware(decision),
          ...tellOfWatchdog(facts),
        ]
      : decision),
  ];
}

function tellOfOldFirmware({ partition, way }: BootDecision): Finding[] {
  if (way.kind === 'tryboot') return [];
  return [
    warning(
      'rpi-no-one-shot',
      partition.directory,
      'this firmware does not know tryboot: should the kernel die before stage 2 has put config.txt back, it is started again and again until that is done by hand',
      'Update the firmware to one that knows tryboot, where the system has one (Debian 10 or newer)',
    ),
  ];
}

/** What restarts the board; downstream kernels have it built in, those of Debian as a module. */
const watchdogModule = 'bcm2835_wdt';

function tellOfWatchdog({ kernel, modules }: Facts): Finding[] {
  if (!modules.needed.some(({ name }) => name === watchdogModule)) return [];
  return [
    warning(
      'rpi-watchdog-module',
      `Linux ${kernel.release}`,
      `it restarts this board through the module ${watchdogModule}: should it die before stage 2 has loaded that, it stands still until the power is cut`,
      'Have somebody near who can do that, or start the kernel of Raspberry Pi OS',
    ),
  ];
}

function partitionFinding(several: boolean): Finding {
  return several
    ? error(
        'rpi-boot-partition',
        '/boot',
        'several mounted FAT partitions hold a config.txt and kernels, so it is not certain which one the firmware reads',
        'Unmount all but the one that the board starts from',
      )
    : error(
        'rpi-boot-partition',
        '/boot',
        'no mounted FAT partition holds config.txt and a kernel',
        'Mount the first partition of the card on /boot or /boot/firmware',
      );
}

/** The firmware reads the first FAT partition of the medium it starts from. */
function checkPartition(facts: Facts, { mount, disk, partition }: BootPartition): Finding[] {
  const findings: Finding[] = [];
  if (mount.options.includes('ro')) {
    findings.push(
      error('boot-read-only', mount.target, 'it is mounted read-only', `Run mount -o remount,rw ${mount.target}`),
    );
  }
  const fat = disk.partitions.filter((other) => other.fileSystem?.type === 'vfat');
  const first = fat.reduce((best, other) => (other.number < best.number ? other : best), partition);
  const started = propertyNumber(facts, partitionProperty) ?? 0;
  if (first.number !== partition.number || (started !== 0 && started !== partition.number)) {
    findings.push(
      error(
        'rpi-other-partition',
        partition.path,
        `the firmware starts from partition ${started === 0 ? first.number : started} of ${disk.path}, not from this one (NOOBS and A/B systems do so)`,
        'Migrate a system that starts from the first FAT partition',
      ),
    );
  }
  const root = mountOf(facts.mounts, '/');
  const rootDisk = root === undefined ? undefined : partitionOf(facts, root)?.disk;
  if (rootDisk !== undefined && rootDisk.path !== disk.path) {
    findings.push(
      error(
        'rpi-other-disk',
        mount.target,
        `it lies on ${disk.path}, but the root file system on ${rootDisk.path}: the firmware would not start what is flashed there`,
        'Start the board from the medium that holds the root file system',
      ),
    );
  }
  const uuid = partition.fileSystem?.uuid;
  const twins = facts.disks.flatMap((each) => each.partitions).filter((other) => other.fileSystem?.uuid === uuid);
  if (uuid === undefined || twins.length !== 1) {
    findings.push(
      error(
        'boot-uuid',
        partition.path,
        uuid === undefined ? 'its file system has no UUID' : `its UUID ${uuid} is there ${twins.length} times`,
        'Remove the other medium, or give it another volume id',
      ),
    );
  }
  return findings;
}

/** autoboot.txt sends the firmware to other partitions, also by the tryboot flag. */
function checkAutoboot(facts: Facts, { directory }: BootPartition): Finding[] {
  const path = `${directory}/autoboot.txt`;
  const text = bootFile(facts, path)?.text;
  const acts = parseConfigTxt(Buffer.from(text ?? '', 'utf8')).some(({ meaning }) => meaning.kind === 'setting');
  if (!acts && (text !== undefined || listed(facts, path) === undefined)) return [];
  return [
    error(
      'rpi-autoboot',
      path,
      'it sends the firmware to another partition, which this program does not follow',
      'Remove it if config.txt beside it is what the board starts with, and reboot',
    ),
  ];
}

/** Kernels as Raspberry Pi OS names them, and the end of `uname -r` that goes with each. */
const flavours: Readonly<Record<string, RegExp>> = {
  'kernel7.img': /v7\+?$/,
  'kernel7l.img': /v7l\+?$/,
  'kernel8.img': /v8(-16k)?\+?$/,
  'kernel_2712.img': /2712\+?$/,
};

/** The file that the firmware starts must be the running kernel: stage 2 takes that one's modules. */
function checkKernel(facts: Facts, { partition, selection }: BootDecision): Finding[] {
  const path = `${partition.directory}/${selection.kernel}`;
  const { image, release } = facts.kernel;
  const flavour = flavours[selection.kernel.slice(selection.kernel.lastIndexOf('/') + 1)];
  const findings: Finding[] = [];
  const isOther =
    image === undefined ? flavour?.test(release) !== true : image.sizeBytes !== listed(facts, path)?.sizeBytes;
  if (isOther) {
    findings.push(
      error(
        'kernel-image',
        path,
        image === undefined
          ? `nothing shows that it is the running kernel ${release} (it may be a U-Boot, or newer)`
          : `it is not the file ${image.path} of the running kernel`,
        'Let the firmware start the kernel itself, reboot after a kernel update, and try again',
      ),
    );
  }
  if (selection.deviceTree === undefined) {
    findings.push(
      error(
        'rpi-device-tree',
        partition.directory,
        'the device tree of this board is not there',
        'Reinstall the firmware package',
      ),
    );
  }
  return findings;
}

function checkCommandLine(facts: Facts, { partition, selection, words }: BootDecision): Finding[] {
  const path = `${partition.directory}/${selection.commandLineFile}`;
  if (argumentValue(words, 'root') === undefined) {
    return [error('rpi-root-argument', path, 'it has no root= argument', 'Restore the command line and reboot')];
  }
  const { architecture, commandLine } = facts.kernel;
  const limit = commandLineLimit[architecture === 'arm' ? 'arm' : 'aarch64'];
  if (commandLine.length + addedBytes <= limit) return [];
  return [
    error(
      'rpi-command-line',
      path,
      `the kernel takes ${limit} bytes; ${commandLine.length} are used and stage 2 adds up to ${addedBytes}`,
      'Shorten it and reboot',
    ),
  ];
}
