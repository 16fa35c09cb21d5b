// A lifeboat that the firmware starts by itself: the first FAT partition of the medium, with the firmware's files and a config.txt
// that sets up the board as the old one did.
import type { Disk, Facts, LifeboatBoot, LifeboatFile, LifeboatPayload, TargetImage } from '@migrate/core';
import { bootFile, bootModeProperty, listed, propertyNumber, signedProperty } from './boot-partition.ts';
import { type BootDecision, commandLineName, initramfsName } from './boot-way.ts';
import { printCommandLine } from './cmdline-txt.ts';

/**
 * What the firmware looks for by itself: its own parts, device trees, and what sets up pins, secure world and screens before a kernel
 * runs (raspberrypi/documentation, configuration/boot_folder.adoc). Not recovery.bin and pieeprom.upd, which would update it.
 */
const ownFiles =
  /^(bootcode\.bin|start[^/]*\.elf|fixup[^/]*\.dat|[^/]*\.dtb|dt-blob\.bin|armstub[^/]*\.bin|edid\.dat|vl805\.(bin|sig))$/i;
/** Of the directories of overlays, whose files are not among the facts: Raspberry Pi OS has 3 MiB of them. */
const overlaysBytes = 8 * 1024 * 1024;
/** What a file takes beyond its size: the rest of its last cluster, and its names. */
const slackBytes = 5 * 1024;

/** Boot modes that read a medium, with the kernel's names of its disks (bootflow-eeprom.adoc, BOOT_ORDER). */
const mediaOfModes: ReadonlyMap<number, RegExp> = new Map([
  [1, /^mmcblk/],
  [4, /^sd/],
  [5, /^sd/],
  [6, /^nvme/],
]);

/** Words about the old root: there is none. */
const ofOldRoot = /^(root|rootfstype|rootflags|rootwait|rootdelay|ro|rw|init|rdinit|resume|resume_offset)(=|$)/;

/** Or why it cannot be had. */
export function piLifeboat(
  payload: LifeboatPayload,
  decision: BootDecision,
  { facts, disk, image }: { readonly facts: Facts; readonly disk: Disk; readonly image: TargetImage },
): LifeboatBoot | string {
  const { partition, selection, lifeboat: config } = decision;
  const { table } = disk;
  if (partition.disk.path !== disk.path)
    return `the board starts from ${partition.disk.path}, not from the disk that is flashed`;
  if (table?.kind !== 'mbr' || image.table.kind !== 'mbr')
    return 'the one sector that switches is that of an MBR, and the disk or the image has none';
  if (!/^[0-9a-f]{8}$/i.test(table.id)) return 'the disk has no signature';
  if (partition.partition.number !== 1)
    return `the board starts from partition ${partition.partition.number}, and the lifeboat is number 1`;
  const elsewhere = startsElsewhere(facts, disk);
  if (elsewhere !== undefined) return elsewhere;
  if (typeof config === 'string') return config;
  const { prefix, kernel } = selection;
  if (!/^([^/]+\/)?$/.test(prefix)) return `os_prefix=${prefix} is no directory of the boot partition`;
  const { directory } = partition;
  const firmware = firmwareFiles(facts, decision, config.files);
  const kernelBytes = facts.kernel.image === undefined ? (listed(facts, `${directory}/${kernel}`)?.sizeBytes ?? 0) : 0;
  return {
    way: { kind: 'partition', diskId: table.id },
    kernel: { path: kernel, from: `${directory}/${kernel}` },
    initramfs: prefix + initramfsName,
    files: [
      { path: 'config.txt', text: config.text },
      { path: prefix + commandLineName, text: commandLineOf(payload, decision, facts) },
      ...firmware.files,
    ],
    filesBytes: kernelBytes + firmware.sizeBytes,
  };
}

/** What the firmware says of how it was started, where it says so. */
function startsElsewhere(facts: Facts, disk: Disk): string | undefined {
  if (bootFile(facts, signedProperty) !== undefined && propertyNumber(facts, signedProperty) !== 0)
    return 'the firmware starts signed files only';
  const mode = propertyNumber(facts, bootModeProperty);
  if (mode === undefined || mediaOfModes.get(mode)?.test(disk.name) === true) return undefined;
  return `the firmware was loaded from elsewhere than ${disk.path} (boot mode ${mode})`;
}

/** Those of the root and of os_prefix as they lie, and all overlays. */
function firmwareFiles(
  facts: Facts,
  { partition: { directory }, selection: { prefix, kernel } }: BootDecision,
  named: readonly string[],
): { readonly files: readonly LifeboatFile[]; readonly sizeBytes: number } {
  const entries = (facts.bootListing ?? [])
    .filter(({ path }) => path.startsWith(`${directory}/`))
    .map((entry) => ({ ...entry, name: entry.path.slice(directory.length + 1) }));
  const isOwn = (name: string): boolean =>
    ownFiles.test(name) ||
    (name.startsWith(prefix) && ownFiles.test(name.slice(prefix.length))) ||
    named.includes(name);
  const made = new Set(['config.txt', prefix + commandLineName, prefix + initramfsName, kernel]);
  const own = entries.filter(({ kind, name }) => kind === 'file' && isOwn(name) && !made.has(name));
  const overlays = entries.filter(
    ({ kind, name }) => kind === 'directory' && ['overlays', `${prefix}overlays`].includes(name),
  );
  const parents = [...new Set(own.map(({ name }) => name.slice(0, Math.max(0, name.lastIndexOf('/')))))];
  return {
    files: [
      ...parents.map((parent) => ({
        path: parent,
        fromDirectory: parent === '' ? directory : `${directory}/${parent}`,
        names: own
          .map(({ name }) => name)
          .filter((name) => name.slice(0, Math.max(0, name.lastIndexOf('/'))) === parent)
          .map((name) => name.slice(name.lastIndexOf('/') + 1)),
      })),
      ...overlays.map(({ name, path }) => ({ path: name, fromDirectory: path })),
    ],
    sizeBytes: own.reduce((sum, { sizeBytes }) => sum + sizeBytes + slackBytes, overlays.length * overlaysBytes),
  };
}

/** The board's own words, and those of stage 2. What the kernel runs with already the firmware gives again. */
function commandLineOf({ commandLine }: LifeboatPayload, { words }: BootDecision, facts: Facts): string {
  const kept = words.filter((word) => !ofOldRoot.test(word));
  const given = new Set([...facts.kernel.commandLine.split(/\s+/), ...kept]);
  return printCommandLine([...kept, ...commandLine.filter((word) => !given.has(word))]);
}
