import type { TargetImage } from '../assets/image.ts';
import type { BootRestore } from '../initramfs/initramfs.ts';
import type { Finding } from '../plan/finding.ts';
import type { LifeboatFile, LifeboatWay, LoaderSectors, PowerWindow, Step, StepOf } from '../plan/plan.ts';
import type { Architecture, AreaPlace, Disk, Facts } from './facts.ts';

/** A board or class of machines that can be migrated: plain data and pure functions. */
export interface Device {
  readonly name: string;
  /** balenaOS device types that run on it. */
  readonly deviceTypes: readonly string[];
  readonly architecture: Architecture;
  matches(facts: Facts): boolean;
  readonly bootManagers: readonly BootManager[];
}

/** What the boot manager must start once. */
export interface BootPayload {
  /** sha256-derived name that no other boot entry has. */
  readonly entryId: string;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly commandLine: readonly string[];
  /** Stage 2 may ask for being started every time from then on: see `startsAlways`. */
  readonly mayStartAlways?: boolean;
}

/** What starts stage 2 from a lifeboat; paths are its own, from its root. */
export interface LifeboatPayload {
  readonly kernelPath: string;
  /** Loaded one behind the other. */
  readonly initramfsPaths: readonly string[];
  readonly commandLine: readonly string[];
  /** Where the bundle keeps boot loaders. */
  readonly loaderDirectory: string;
}

/** How the old boot path is made to start stage 2 every time, for a lifeboat that stage 2 makes. */
export interface StartsAlways {
  /** Stage-2 step, the first behind the point of no return; the file system is filled in. */
  readonly step: Omit<StepOf<'rearm-grub'>, 'fileSystem'>;
  /** What the boot path needs of the payload's file system, beside kernel and initramfs: paths from its root. */
  readonly keeps: StepOf<'find-lifeboat-place'>['keeps'];
  /** A path of the running system from the root of that file system; undefined where it lies on another one. */
  pathInFileSystem(path: string): string | undefined;
}

/** How firmware is made to start a lifeboat, and what of it is the boot loader's. */
export interface LifeboatBoot {
  readonly way: Exclude<LifeboatWay, { kind: 'gpt' }> | Omit<Extract<LifeboatWay, { kind: 'gpt' }>, 'partitionGuid'>;
  readonly files: readonly LifeboatFile[];
  /** Before all others, for a ROM that may not look further than the first entries of the root directory. */
  readonly firstFiles?: readonly LifeboatFile[];
  /** Most bytes that `files` take, where they are more than a few MiB. */
  readonly filesBytes?: number;
  /** Where what starts the kernel finds it by another name than the payload's, and where it lies now. */
  readonly kernel?: { readonly path: string; readonly from: string };
  /** The one file that holds all of `initramfsPaths`, for what loads no more than one. */
  readonly initramfs?: string;
  /** Boot loaders that the switch and the commit of a table do not reach; absent where there are none. */
  readonly loaders?: LoaderSectors;
  /** Grade B: when a power cut may leave a machine that does not boot. */
  readonly window?: PowerWindow;
  /** UEFI: the entry that finds it. */
  readonly entry?: { readonly description: string; readonly filePath: string };
}

/** Turns "start this kernel once" into steps; acts on nothing itself. */
export interface BootManager {
  readonly kind: string;
  /**
   * Directories whose entries, and files whose presence, are to be captured as facts (`bootListing`). Asked again until it names
   * nothing new, at most three times, as what is found may lead further.
   */
  bootListing?(facts: Facts): readonly string[];
  /** Places of disks and files to capture as facts (`bootAreas`), 64 KiB each at most. Asked before the listing is known. */
  bootAreas?(facts: Facts): readonly AreaPlace[];
  /** Files to capture as facts, so that `check` and `bootOnce` can be pure. Chosen when the listing is known. */
  bootFiles(facts: Facts): readonly string[];
  /** True where this boot manager, and no other, starts the machine. */
  isInCharge(facts: Facts): boolean;
  /** All that stands against booting once through it. */
  check(facts: Facts): readonly Finding[];
  /** What stands against the firmware starting the new system from the disk to flash. */
  checkTarget(target: Disk, facts: Facts): readonly Finding[];
  /** Directory for the initramfs, readable by the boot manager. */
  bootDirectory(facts: Facts): string;
  /** Stage-1 steps that make the payload boot exactly once, in order; the last one arms. */
  bootOnce(payload: BootPayload, facts: Facts): readonly Step[];
  /**
   * What init of stage 2 must put back before anything else, where starting stage 2 is not a one-shot: a stage 2 that fails
   * later, or is cut off, then boots the old system.
   */
  restoreAtOnce?(facts: Facts): BootRestore | undefined;
  /** Stage-2 steps that restore the old boot path, or confirm that the one-shot is spent. */
  restoreBoot(facts: Facts): readonly Step[];
  /** Stage-2 steps before the point of no return that let the firmware find the new system. */
  bootTarget(facts: Facts, image: TargetImage): readonly Step[];
  /** How a lifeboat on the target disk is started, or why it cannot be; absent where no way is known. */
  lifeboat?(
    payload: LifeboatPayload,
    machine: { readonly facts: Facts; readonly disk: Disk; readonly image: TargetImage },
  ): LifeboatBoot | string;
  /**
   * How it starts stage 2 every time, once stage 2 asks for it, with the payload on that file system; or why it cannot. Absent where no
   * way is known.
   */
  startsAlways?(
    payload: { readonly entryId: string; readonly fileSystemUuid: string },
    facts: Facts,
  ): StartsAlways | string;
  /** Whether the new system boots by what lies in its partitions alone, without boot code elsewhere on the disk. */
  bootsFromPartitions(facts: Facts): boolean;
}

/** The boot manager in charge of a machine. */
export function bootManagerOf(device: Device, facts: Facts): BootManager | undefined {
  return device.bootManagers.find((manager) => manager.isInCharge(facts));
}
