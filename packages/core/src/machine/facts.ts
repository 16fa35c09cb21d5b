import type { PartitionTable } from '../disk/partition.ts';
import type { FileSystemSignature } from '../disk/signature-fields.ts';
import type { Watchdog } from '../watchdog/watchdogs.ts';
import type { WiredInterface } from './wired.ts';

/** A plain, serializable snapshot of a machine: all that planning may know of it. */
export interface Facts {
  readonly version: 1;
  readonly userId: number;
  readonly hostname: string;
  readonly os: OperatingSystem;
  readonly kernel: Kernel;
  /** Architecture of the programs (a 64-bit kernel may run a 32-bit userland). */
  readonly userland: Architecture;
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number };
  readonly firmware: Firmware;
  readonly hardware: {
    readonly vendor?: string;
    readonly product?: string;
    readonly board?: string;
    readonly deviceTreeModel?: string;
    /** As /proc/cpuinfo names them; on ARM only. */
    readonly processorFeatures?: readonly string[];
  };
  readonly disks: readonly Disk[];
  readonly mounts: readonly Mount[];
  /** Paths of devices and files in use as swap. */
  readonly swaps: readonly string[];
  readonly places: readonly Place[];
  readonly bootFiles: readonly BootFile[];
  /** What lies where a boot manager looks for its files, without contents; absent where none asks for it. */
  readonly bootListing?: readonly ListedFile[];
  /** What lies at places that a boot manager asked for, outside of file systems or in files that are no text. */
  readonly bootAreas?: readonly BootArea[];
  /** Modules of the kernel of stage 2 (the running one, or the one asked for) that it needs on this machine, in load order, and wanted names not found. */
  readonly modules: { readonly needed: readonly KernelModule[]; readonly missing: readonly string[] };
  /** Wired interfaces that are up, and the modules that they need beyond those of the disks; absent where none is up. */
  readonly wired?: { readonly interfaces: readonly WiredInterface[]; readonly modules: readonly KernelModule[] };
  /** Absent where no driver serves one. */
  readonly watchdogs?: readonly Watchdog[];
  /** True where this process sees a container instead of the machine. */
  readonly inContainer: boolean;
}

export type Architecture = 'x86_64' | 'i386' | 'aarch64' | 'arm' | 'unknown';

/** From os-release(5); older systems without it are read from their own release file. */
export interface OperatingSystem {
  readonly id: string;
  readonly versionId: string;
  readonly prettyName: string;
  readonly idLike: readonly string[];
}

export interface Kernel {
  /** As `uname -r`. */
  readonly release: string;
  readonly architecture: Architecture;
  readonly commandLine: string;
  /** The image file of this very kernel, where it was found. */
  readonly image?: { readonly path: string; readonly sizeBytes: number; readonly release?: string };
  /** What was found of the kernel that the configuration wants for stage 2; absent where it wants none. */
  readonly asked?: AskedKernel;
}

/** A kernel with its modules in /lib/modules, or why it is not taken. */
export type AskedKernel =
  | { readonly path: string; readonly sizeBytes: number; readonly release: string }
  | { readonly path: string; readonly problem: string };

export interface KernelModule {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
}

export type Firmware =
  | { readonly kind: 'bios' }
  | { readonly kind: 'device-tree' }
  | {
      readonly kind: 'uefi';
      readonly bits: 32 | 64;
      /** Undefined where the variables cannot be read. */
      readonly secureBoot?: boolean;
      readonly variablesReadable: boolean;
      readonly bootCurrent?: number;
      readonly bootOrder: readonly number[];
      readonly bootEntries: readonly BootEntry[];
    };

/** A UEFI load option (UEFI specification 2.10, section 3.1.3). */
export interface BootEntry {
  readonly number: number;
  readonly description: string;
  readonly isActive: boolean;
  /** GPT partition of the hard-drive node, lower-case GUID. */
  readonly partitionUuid?: string;
  /** Path of the file-path node, with backslashes. */
  readonly filePath?: string;
}

export interface Disk {
  /** Kernel name: sda, nvme0n1, mmcblk0. */
  readonly name: string;
  readonly path: string;
  /** "major:minor". */
  readonly device: string;
  readonly sizeBytes: number;
  readonly logicalSectorSize: number;
  readonly isReadOnly: boolean;
  readonly isRemovable: boolean;
  readonly model?: string;
  readonly serial?: string;
  readonly wwid?: string;
  readonly table?: Pick<PartitionTable, 'kind' | 'id' | 'backupAtEnd'>;
  /** Why the partition table could not be read. */
  readonly tableProblem?: string;
  /** First 440 bytes, where a BIOS boot loader lies, base64. */
  readonly bootCode?: string;
  /** A file system that fills the whole disk. */
  readonly fileSystem?: FileSystemSignature;
  readonly holders: readonly string[];
  readonly partitions: readonly DiskPartition[];
}

export interface DiskPartition {
  readonly name: string;
  readonly path: string;
  readonly device: string;
  readonly number: number;
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly uuid?: string;
  readonly type?: string;
  readonly label?: string;
  readonly fileSystem?: FileSystemSignature;
  /** Kernel names of device-mapper, md and other devices built on it. */
  readonly holders: readonly string[];
}

export interface Mount {
  readonly device: string;
  readonly source: string;
  readonly target: string;
  readonly fileSystem: string;
  /** The directory of the file system that is mounted; "/" unless it is a bind mount or subvolume. */
  readonly root: string;
  readonly options: readonly string[];
}

/** Where a path of interest lies. */
export interface Place {
  readonly path: string;
  /** The nearest existing ancestor, links resolved, and what must be appended to reach `path`. */
  readonly existing: string;
  readonly rest: string;
  /** `target` of the mount that holds it. */
  readonly mountTarget: string;
  readonly availableBytes: number;
}

/** A file that decides how the machine boots. */
export interface BootFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mode: number;
  /** UTF-8 text; empty where the file is larger than 1 MiB. */
  readonly text: string;
}

/** A name that matters for booting. */
export interface ListedFile {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'device';
  readonly sizeBytes: number;
}

/** A place in a block device or a file, in bytes. */
export interface AreaPlace {
  readonly path: string;
  readonly startByte: number;
  readonly sizeBytes: number;
}

/** Bytes that decide how the machine boots, or that must be free. */
export interface BootArea extends AreaPlace {
  /** base64; absent where every byte is zero. Shorter than asked where the device or file ends before. */
  readonly contents?: string;
}

/** The mount that holds an absolute path without symbolic links: the longest target that is a prefix of it. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    const isPrefix = mount.target === '/' || path === mount.target || path.startsWith(`${mount.target}/`);
    // Later mounts cover earlier ones on the same target.
    if (isPrefix && (best === undefined || mount.target.length >= best.target.length)) best = mount;
  }
  return best;
}

/** The disk and partition that a mount's block device is; undefined for device mapper, md, network and virtual ones. */
export function partitionOf(
  facts: Pick<Facts, 'disks'>,
  mount: Mount,
): { readonly disk: Disk; readonly partition: DiskPartition } | undefined {
  for (const disk of facts.disks) {
    for (const partition of disk.partitions) {
      if (partition.device === mount.device || partition.path === mount.source) return { disk, partition };
    }
  }
  return undefined;
}
