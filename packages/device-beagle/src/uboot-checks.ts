// Everything that stands against booting once through U-Boot on a Beagle board.
import { type Disk, error, type Facts, type Finding, warning } from '@migrate/core';
import {
  areaAt,
  areaBytes,
  type BootMedium,
  boardOf,
  bootMediumOf,
  firstPartitionOf,
  isFirstLoader,
  loaderPlace,
  mediumKindOf,
  mediumTypePath,
  mmcDisks,
  rawLoaderBytes,
  rootDisk,
  ubootPlace,
  wholeMounts,
} from './boot-medium.ts';
import { decideBoot, isRefusal } from './boot-way.ts';
import { flowOf, stockVariables } from './stock-flow.ts';
import { readUbootImage } from './u-boot-image.ts';

/** U-Boot gives an initramfs room up to its window of 256 MiB; modules unpacked are much larger than the archive. */
const moduleLimitBytes = 48 * 1024 * 1024;

/** All obstacles at once, each with its cure. */
export function checkUboot(facts: Facts): readonly Finding[] {
  const board = boardOf(facts);
  if (board === undefined) {
    const name = facts.hardware.deviceTreeModel ?? 'this machine';
    return [error('beagle-board', name, 'it is not in the table of boards', 'See the supported devices in the README')];
  }
  const medium = bootMediumOf(facts);
  if (medium === undefined) return [mediumFinding(facts)];
  const decision = decideBoot(facts, board, medium);
  return [
    ...checkFlow(facts, medium),
    ...checkOtherMedia(facts, medium),
    ...checkFirstPartition(facts, medium),
    ...checkModules(facts),
    ...(isRefusal(decision) ? decision : tellOfExtlinux(facts, medium)),
    ...tellOfOverlays(facts, medium),
    ...tellOfWatchdog(facts),
  ];
}

function mediumFinding(facts: Facts): Finding {
  const disk = rootDisk(facts);
  return error(
    'beagle-medium',
    disk?.path ?? '/',
    'the root file system lies neither on a card nor on the eMMC of the board, where U-Boot looks for uEnv.txt',
    disk === undefined
      ? 'Start the board from one of them'
      : `See ${mediumTypePath(disk)}, and start the board from one of them`,
  );
}

function checkFlow(facts: Facts, { disk }: BootMedium): Finding[] {
  const flow = flowOf(facts, disk);
  // What stands against extlinux.conf is told by the way to come before it.
  if (flow.kind === 'uenv' || flow.kind === 'extlinux') return [];
  if (flow.kind === 'none') {
    return [
      error(
        'beagle-flow',
        disk.path,
        'none of its mounted partitions holds /uEnv.txt or /boot/uEnv.txt, so it is not certain what starts this board',
        'Mount the partition that U-Boot reads',
      ),
    ];
  }
  return [
    error(
      'beagle-script',
      flow.path,
      'U-Boot starts this system by it, before it looks at uEnv.txt, and what it does is not known',
      'Write the flasher image of balenaOS to a card and start the board from that',
    ),
  ];
}

/** The names that U-Boot looks for on the card come first, also where U-Boot itself came from the eMMC. */
function checkOtherMedia(facts: Facts, medium: BootMedium): Finding[] {
  const others = mmcDisks(facts).filter(({ path }) => path !== medium.disk.path);
  return others.flatMap((disk) => {
    const kind = mediumKindOf(facts, disk);
    if (kind === 'sd' && medium.kind === 'emmc') return checkCard(facts, disk);
    if (kind === 'emmc' && medium.kind === 'sd') return checkEmmc(facts, disk);
    const why = 'with it, it is not certain which medium U-Boot and the ROM look at first';
    return [error('beagle-medium', mediumTypePath(disk), why, `Remove ${disk.path}`)];
  });
}

function checkCard(facts: Facts, disk: Disk): Finding[] {
  const flow = flowOf(facts, disk);
  const what = flow.kind === 'uenv' ? flow.paths[0] : flow.kind === 'none' ? undefined : flow.path;
  if (what !== undefined) {
    return [
      error(
        'beagle-card-first',
        what,
        `U-Boot looks at the card ${disk.path} before the eMMC, so the next start would follow this file instead of the eMMC`,
        'Take the card out, or remove its boot files',
      ),
    ];
  }
  const mounted = new Set(wholeMounts(facts, disk).map(({ number }) => number));
  const unseen = disk.partitions.filter(({ number, fileSystem }) => fileSystem !== undefined && !mounted.has(number));
  if (unseen.length === 0 && disk.fileSystem === undefined) return [];
  return [
    error(
      'beagle-card-first',
      unseen[0]?.path ?? disk.path,
      `U-Boot looks at the card ${disk.path} before the eMMC, and without a mount it cannot be seen whether that has boot files`,
      'Take the card out, or mount its partitions',
    ),
  ];
}

/** A first loader on the eMMC comes before that of the card, also when the card holds the new system. */
function checkEmmc(facts: Facts, disk: Disk): Finding[] {
  const isFree = rawLoaderBytes.every((start) => {
    const area = areaAt(facts, loaderPlace(disk, start));
    return area !== undefined && !isFirstLoader(areaBytes(area));
  });
  const hasFat = disk.partitions.some(({ fileSystem }) => fileSystem?.type === 'vfat');
  if (isFree && !hasFat) return [];
  return [
    error(
      'beagle-emmc-loader',
      disk.path,
      'this system runs from the card, but the ROM takes the first loader from the eMMC, and it is not certain that this one would start balenaOS from the card',
      'Migrate from the eMMC without a card, or wipe the loader of the eMMC if its system is no longer needed',
    ),
  ];
}

function checkFirstPartition(facts: Facts, { disk }: BootMedium): Finding[] {
  const first = firstPartitionOf(facts, disk);
  if (first === undefined || !first.mount.options.includes('ro')) return [];
  const { target } = first.mount;
  return [error('boot-read-only', target, 'it is mounted read-only', `Run mount -o remount,rw ${target}`)];
}

function checkModules(facts: Facts): Finding[] {
  const bytes = facts.modules.needed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (bytes <= moduleLimitBytes) return [];
  return [
    error(
      'beagle-initramfs-large',
      `/lib/modules/${facts.kernel.release}`,
      `stage 2 needs modules of ${Math.ceil(bytes / 1024 / 1024)} MiB, more than what surely fits where U-Boot puts an initramfs`,
      'Boot a kernel whose modules are stripped',
    ),
  ];
}

function tellOfExtlinux(facts: Facts, { disk }: BootMedium): Finding[] {
  const flow = flowOf(facts, disk);
  if (flow.kind !== 'extlinux') return [];
  return [
    warning(
      'beagle-extlinux',
      flow.path,
      'U-Boot starts this system by it, and stage 2 by a boot.scr that comes before it in the distro boot of U-Boot',
      'Nothing: a U-Boot with another order starts this system again, and migrate status tells so',
    ),
  ];
}

const overlaySetting =
  /^(uboot_overlay_addr\d|uboot_overlay_pru|dtb_overlay|cape_enable|fdtoverlays|devicetree-overlay)$/;

function tellOfOverlays(facts: Facts, { disk }: BootMedium): Finding[] {
  const names = [...stockVariables(facts, disk).keys()].filter((name) => overlaySetting.test(name));
  if (names.length === 0) return [];
  return [
    warning(
      'beagle-overlays',
      names.join(', '),
      'stage 2 starts with the plain device tree of the board, without these capes',
      'Nothing, unless a cape must be set up for the board to stay on',
    ),
  ];
}

/** U-Boot starts the watchdog since 2018 (CONFIG_WATCHDOG, CONFIG_WDT), with 60 s on these boards. */
const firstWithWatchdog = 2018;

function tellOfWatchdog(facts: Facts): Finding[] {
  const years = mmcDisks(facts).flatMap((disk) => {
    const area = areaAt(facts, ubootPlace(disk));
    const name = area?.contents === undefined ? undefined : readUbootImage(areaBytes(area))?.name;
    return /^U-Boot (\d{4})\./.exec(name ?? '')?.[1] ?? [];
  });
  if (years.length > 0 && years.every((year) => Number(year) < firstWithWatchdog)) return [];
  return [
    warning(
      'beagle-watchdog',
      'U-Boot',
      'it may have started the watchdog of the board with 60 s, which resets the board into the old system where stage 2 does not serve it',
      'Nothing: stage 2 takes the watchdog over where its driver shows it',
    ),
  ];
}
