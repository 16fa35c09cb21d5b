// How stage 2 is started once on this very machine, or what stands against it.
import { error, type Facts, type Finding, type UbootFlag } from '@migrate/core';
import type { BeagleBoard } from './boards.ts';
import {
  type BootMedium,
  type FirstPartition,
  firstPartitionOf,
  isReadableByUboot,
  pathBelow,
  type UbootFile,
  ubootFile,
} from './boot-medium.ts';
import { directoryName, distroMedium, environmentMedium, type MediumVariables, scriptName } from './boot-script.ts';
import { findFlag } from './flag-way.ts';
import { type HookWay, hookWay } from './hook-way.ts';
import { findDeviceTree, findKernel } from './kernel-files.ts';
import { scriptWay, startScriptPath } from './script-way.ts';
import { firstEnvironment, flowOf } from './stock-flow.ts';

export interface BootDecision {
  readonly medium: BootMedium;
  readonly first: FirstPartition;
  /** Where our files go. */
  readonly directory: string;
  /** /uEnv.txt or /boot.scr of partition 1. */
  readonly hookPath: string;
  readonly hook: HookWay;
  readonly variables: MediumVariables;
  readonly flag: UbootFlag;
  /** Path of the disk or file that has the flag. */
  readonly flagPath: string;
  readonly kernel: UbootFile;
  readonly deviceTree: UbootFile;
}

/** The way to boot once; findings where there is none. `medium` and its flow are judged elsewhere. */
export function decideBoot(facts: Facts, board: BeagleBoard, medium: BootMedium): BootDecision | readonly Finding[] {
  const first = firstPartitionOf(facts, medium.disk);
  if (first === undefined || !isReadableByUboot(first.mount.fileSystem)) {
    return [
      error(
        'beagle-first-partition',
        medium.disk.path,
        'its partition 1, where U-Boot looks for uEnv.txt, is not mounted as ext4 or FAT',
        'Mount it, for instance on /boot/uboot',
      ),
    ];
  }
  const directory = directoryOf(facts, first);
  const flow = flowOf(facts, medium.disk);
  const hookPath = pathBelow(facts, first.mount, flow.kind === 'extlinux' ? startScriptPath : firstEnvironment);
  const kernel = findKernel(facts, medium.disk);
  const deviceTree = findDeviceTree(facts, board, { disk: medium.disk, first });
  const script = ubootFile(facts, medium.disk, `${directory}/${scriptName}`);
  const hook =
    hookPath === undefined || script === undefined
      ? [covered(first)]
      : flow.kind === 'extlinux'
        ? scriptWay(facts, { extlinuxPath: flow.path, disk: medium.disk, first, scriptPath: script.path })
        : hookWay(facts, { path: hookPath, mount: first.mount, scriptPath: script.path });
  const flag = findFlag(facts, medium.disk, first);
  if (isRefusal(kernel) || isRefusal(deviceTree) || isRefusal(hook) || isRefusal(flag)) {
    return [kernel, deviceTree, hook, flag].flatMap((each) => (isRefusal(each) ? each : []));
  }
  const flagPath = flag.place === 'gap' ? medium.disk.path : `${first.mount.target}${flag.path}`;
  const variables = flow.kind === 'extlinux' ? distroMedium : environmentMedium;
  const files = { directory, hookPath: hookPath ?? '', flagPath, kernel, deviceTree };
  return { medium, first, hook, variables, flag, ...files };
}

/** Tells findings from what was looked for. */
export function isRefusal<T extends object>(result: T | readonly Finding[]): result is readonly Finding[] {
  return Array.isArray(result);
}

/** Below /boot where that is on partition 1, so that the root directory is left alone. */
export function directoryOf(facts: Facts, first: FirstPartition): string {
  const { target } = first.mount;
  if (target !== '/') return `${target}/${directoryName}`;
  return pathBelow(facts, first.mount, '/boot') === undefined ? `/${directoryName}` : `/boot/${directoryName}`;
}

function covered({ mount }: FirstPartition): Finding {
  return error('beagle-first-partition', mount.target, 'another mount covers it', 'Unmount that one');
}
