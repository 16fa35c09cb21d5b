// How the hook comes before extlinux.conf. Distro boot (include/config_distro_bootcmd.h: scan_dev_for_boot_part, scan_dev_for_boot)
// looks on the partitions marked as bootable, else on partition 1, for extlinux.conf and then for scripts in /, and only after
// that in /boot. So a new /boot.scr runs before /boot/extlinux/extlinux.conf, which is left alone.
import { type Disk, error, type Facts, type Finding } from '@migrate/core';
import {
  activePartitions,
  areaAt,
  areaBytes,
  bootFile,
  type FirstPartition,
  listed,
  loaderPlace,
  pathBelow,
} from './boot-medium.ts';
import { startScript } from './boot-script.ts';
import { parseExtlinuxConf } from './extlinux-conf.ts';
import type { HookWay } from './hook-way.ts';
import { extlinuxNames, firstEnvironment, scriptNames } from './stock-flow.ts';

/** The name that U-Boot looks for last in a directory. */
export const startScriptPath = '/boot.scr';

const [, extlinuxBelowBoot] = extlinuxNames;

export function scriptWay(
  facts: Facts,
  {
    extlinuxPath,
    disk,
    first,
    scriptPath,
  }: { extlinuxPath: string; disk: Disk; first: FirstPartition; scriptPath: string },
): HookWay | readonly Finding[] {
  const below = (name: string): string => pathBelow(facts, first.mount, name) ?? '';
  const flasher = 'Write the flasher image of balenaOS to a card and start the board from that';
  const refuse = (where: string, message: string, hint = flasher): Finding =>
    error('beagle-extlinux', where, message, hint);
  if (extlinuxPath !== below(extlinuxBelowBoot)) {
    const entry = parseExtlinuxConf(bootFile(facts, extlinuxPath)?.text ?? '').started;
    const message = `U-Boot starts this system by it${entry === undefined ? '' : ` ("${entry.label}")`}, before it looks at anything that could start stage 2 once`;
    const moved = below(extlinuxBelowBoot).replace(/\/[^/]*$/, '');
    const isFirst = extlinuxPath === below(extlinuxNames[0]) && moved !== '';
    const hint = `Where the paths in it begin with /, move its directory to ${moved}, which U-Boot looks at last, and reboot; try again if the board starts. Or write the flasher image of balenaOS to a card and start the board from that`;
    return [isFirst ? refuse(extlinuxPath, message, hint) : refuse(extlinuxPath, message)];
  }
  const obstacle = partitionObstacle(facts, disk);
  if (obstacle !== undefined) return [refuse(disk.path, obstacle)];
  const taken = [...scriptNames.filter((name) => !name.startsWith('/boot/')), firstEnvironment]
    .map(below)
    .find((path) => listed(facts, path) !== undefined);
  if (taken !== undefined) {
    const message = `it lies beside ${extlinuxPath}, so it is not certain which of them starts this system`;
    return [refuse(taken, message, 'Remove it, reboot, and try again if the board starts')];
  }
  const text = Buffer.from(startScript(scriptPath)).toString('base64');
  return { kind: 'write', contents: { text, mode: 0o644, encoding: 'base64' } };
}

/** What speaks against partition 1 being the one on which U-Boot looks first. */
function partitionObstacle(facts: Facts, disk: Disk): string | undefined {
  const area = areaAt(facts, loaderPlace(disk, 0));
  if (disk.table?.kind !== 'mbr' || area === undefined)
    return 'it is not known which of its partitions U-Boot looks at';
  const active = activePartitions(areaBytes(area));
  if (active.length === 0 || active[0] === 1) return undefined;
  return `its partition ${active[0]} is marked as bootable, so U-Boot does not look at partition 1`;
}
