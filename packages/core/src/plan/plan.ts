import { createHash } from 'node:crypto';
import type { TargetImage } from '../assets/image.ts';
import type { SurveyedVolume } from '../backup/survey-backup.ts';
import type { BootRestore, SectorChange, Stage2BootSettings } from '../initramfs/initramfs.ts';
import type { LogDrive } from '../log/log-drive.ts';
import type { AreaPlace } from '../machine/facts.ts';
import type { NetworkChoice } from '../network/choose-profiles.ts';

export const planVersion = 1;

/** What makes a disk this very disk, whatever name a kernel gives it. */
export interface DiskIdentity {
  /** Path under the running system, for people; never used to find the disk in stage 2. */
  readonly pathInStage1: string;
  readonly sizeBytes: number;
  readonly logicalSectorSize: number;
  /** MBR signature or GPT disk GUID. */
  readonly tableId?: string;
  readonly serial?: string;
  readonly wwid?: string;
}

/** A file that stage 2 needs, copied to RAM before anything is flashed. */
export interface PayloadFile {
  /** Name in stage 2's RAM directory. */
  readonly name: string;
  /** Path on the payload's file system, from the root of that file system. */
  readonly pathInFileSystem: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface CopiedFile {
  readonly from: string;
  readonly to: string;
  readonly mode: number;
  readonly sizeBytes: number;
}

/** A keyfile made of the old system's networks, or a file of its proxy. The plan has its hash only, for it holds passwords. */
export interface WrittenConnection {
  /** Name in system-connections or system-proxy. */
  readonly name: string;
  /** Where it comes from, for people. */
  readonly description: string;
  readonly to: string;
  readonly sha256: string;
}

/** A file for a partition of the new system. */
export interface PlacedFile {
  /** Name among the payload files. */
  readonly payload: string;
  readonly partition: 'resin-boot' | 'resin-data';
  /** Absolute path in that partition. */
  readonly path: string;
  readonly mode: number;
}

/** One sector that U-Boot clears before it starts stage 2: outside of all partitions, or a file of our own. */
export type UbootFlag =
  | { readonly place: 'gap'; readonly disk: DiskIdentity; readonly offsetBytes: number }
  | { readonly place: 'file'; readonly uuid: string; readonly fileSystem: string; readonly path: string };

/** A time in which a power cut leaves a machine that does not boot. */
export interface PowerWindow {
  /** Written in it. */
  readonly bytes: number;
  /** About, and no less. */
  readonly seconds: number;
  /** Why it is there. */
  readonly why: string;
}

/**
 * Boot loaders before the partitions, which firmware takes whatever the partition table says. All that the image has before `endByte`
 * is written after everything else. Bytes on the disk; each sector is one write.
 */
export interface LoaderSectors {
  /** Where the image's first partition begins. */
  readonly endByte: number;
  /** First sectors of the old loaders, in the order in which they are cleared. */
  readonly cleared: readonly number[];
  /** Sectors of the image without which it does not boot, in the order in which they are written: the last writes of all. */
  readonly last: readonly number[];
}

/** How firmware is switched to a lifeboat: by sector 0 with boot code, by the header of a GPT, or by an MBR that firmware reads itself. */
export type LifeboatWay =
  | {
      readonly kind: 'mbr';
      /** Paths of GRUB's boot.img and core.img. */
      readonly bootImage: string;
      readonly coreImage: string;
      /** Signature of the disk: 8 hexadecimal digits. */
      readonly diskId: string;
    }
  | { readonly kind: 'gpt'; readonly diskGuid: string; readonly partitionGuid: string }
  /** The volume is partition 1, and firmware looks for its files there. */
  | { readonly kind: 'partition'; readonly diskId: string };

/**
 * A file for the lifeboat by its path there: copied, with contents of its own, or made of several initramfs archives. `fromDirectory`:
 * the plain files of a directory, those named or all, below `path` ("" is the root). `area`: bytes of a disk outside of file systems.
 */
export type LifeboatFile = { readonly path: string } & (
  | { readonly from: string }
  /** `encoding`: what `text` is, where the file holds other bytes than text. */
  | { readonly text: string; readonly encoding?: 'base64' }
  | { readonly archives: readonly string[] }
  | { readonly fromDirectory: string; readonly names?: readonly string[] }
  | { readonly area: AreaPlace }
);

/** One that stage 2 can place, which has only what lies beside it. */
export type PlainLifeboatFile = Extract<LifeboatFile, { readonly from: string } | { readonly text: string }>;

/** A part of the target disk. */
export interface DiskPlace {
  readonly startByte: number;
  readonly sizeBytes: number;
}

/** A disk of Windows. Its number may be another one after a restart (learn.microsoft.com, Get-Disk), its GUID is in the GPT. */
export interface WindowsDiskIdentity {
  /** As Windows numbered it when the plan was made: for people to read. */
  readonly disk: number;
  /** Lower case without braces; what the disk is found by. */
  readonly diskGuid: string;
}

/** A partition that stage 1 makes, as it is found again: by where it was made, and by its label. */
export interface PayloadPartition extends WindowsDiskIdentity {
  readonly offsetBytes: number;
  readonly label: string;
}

/** A step whose target paths begin at the root of the payload partition. */
export type PayloadStep = Extract<
  Step,
  {
    readonly kind:
      | 'copy-files'
      | 'write-connections'
      | 'write-config-json'
      | 'write-plan'
      | 'build-initramfs'
      | 'pack-payload'
      | 'reserve-lifeboat'
      | 'write-file';
  }
>;

/** A partition by its GUID in the GPT, in lower case without braces; its number is for people to read. */
export interface WindowsPartition extends WindowsDiskIdentity {
  readonly partition: number;
  readonly guid: string;
}

/** The closed union of everything a migration does. A kind without a handler does not compile (see execute.ts). */
export type Step =
  // Stage 1, on the living system: each of these is undone exactly.
  | { readonly kind: 'make-directory'; readonly id: string; readonly path: string; readonly mode: number }
  | { readonly kind: 'copy-files'; readonly id: string; readonly files: readonly CopiedFile[] }
  | {
      readonly kind: 'write-connections';
      readonly id: string;
      readonly choice: NetworkChoice;
      readonly files: readonly WrittenConnection[];
    }
  | {
      /** config.json with the hostname in it. The plan has its hash only, for it holds keys. */
      readonly kind: 'write-config-json';
      readonly id: string;
      readonly from: string;
      readonly path: string;
      readonly hostname: string;
      readonly sha256: string;
    }
  | {
      readonly kind: 'write-backup';
      readonly id: string;
      readonly volumes: readonly SurveyedVolume[];
      readonly to: string;
      /** Where size and hash of the archive are written once it is complete: files change after the plan is made. */
      readonly sealTo: string;
      /** Most bytes that the archive may have: more would not fit where it is to go. */
      readonly limitBytes: number;
    }
  | {
      /** A secret that the operator's configuration holds, by its name; the plan has nothing of it. */
      readonly kind: 'write-secret';
      readonly id: string;
      readonly path: string;
      readonly secret: 'log-address';
    }
  | { readonly kind: 'write-plan'; readonly id: string; readonly path: string }
  | {
      readonly kind: 'build-initramfs';
      readonly id: string;
      readonly path: string;
      readonly busybox: string;
      readonly init: string;
      /** Path of the script that gets an address. */
      readonly network?: string;
      readonly modules: readonly { readonly name: string; readonly path: string; readonly sizeBytes: number }[];
      readonly settings: Stage2BootSettings;
    }
  | {
      /** What stage 2 needs beside the image, as a second initramfs for the lifeboat. */
      readonly kind: 'pack-payload';
      readonly id: string;
      readonly path: string;
      /** `to`: path in the initramfs. */
      readonly files: readonly { readonly from: string; readonly to: string; readonly mode: number }[];
    }
  | {
      readonly kind: 'make-lifeboat';
      readonly id: string;
      /** The file that holds its place in the old file system. */
      readonly path: string;
      /** The file that says where on the disk it begins. */
      readonly placePath: string;
      /** Where that file system begins on the target disk. */
      readonly fileSystemStartByte: number;
      /** The first byte of the disk that the image leaves alone. */
      readonly fromByte: number;
      /** Left free on the running system at any moment. */
      readonly reserveBytes: number;
      readonly serial: string;
      readonly way: LifeboatWay;
      /** In its volume, for the firmware, the boot loader and the kernel. */
      readonly files: readonly LifeboatFile[];
      /** Outside of it, for stage 2 alone: in as many pieces as the file system has room for. */
      readonly data: readonly LifeboatFile[];
      /** Argument arrays. */
      readonly programs: { readonly fallocate: readonly string[]; readonly filefrag: readonly string[] };
    }
  | {
      /** Where no system tells where its files lie on the disk: a file whose place is a lifeboat's, which stage 2 fills. */
      readonly kind: 'reserve-lifeboat';
      readonly id: string;
      readonly path: string;
      readonly sizeBytes: number;
      /** What will be in it by its paths there, from the same file system; at most `limitBytes` in all. */
      readonly sources: readonly { readonly path: string; readonly from: string }[];
      readonly limitBytes: number;
      /** Where their sizes and hashes are written. */
      readonly sealPath: string;
    }
  | {
      /** Sizes and hashes of what stage 2 will make a lifeboat of; `path` of a source is what stage 2 calls it. */
      readonly kind: 'seal-lifeboat';
      readonly id: string;
      readonly path: string;
      readonly sources: readonly { readonly path: string; readonly from: string }[];
    }
  | {
      readonly kind: 'write-file';
      readonly id: string;
      readonly path: string;
      readonly text: string;
      /** What `text` is, where the file holds other bytes than text. */
      readonly encoding?: 'base64';
      readonly mode: number;
    }
  | {
      readonly kind: 'set-grub-variable';
      readonly id: string;
      /** Path of GRUB's environment block. */
      readonly path: string;
      readonly name: string;
      readonly value: string;
    }
  | {
      /** The whole file is written in place with the same size; only one sector of it differs. */
      readonly kind: 'switch-rpi-config';
      readonly id: string;
      readonly path: string;
      readonly change: SectorChange;
    }
  | {
      readonly kind: 'set-rpi-tryboot';
      readonly id: string;
      /** Path of vcmailbox. */
      readonly command: string;
    }
  | {
      /** The whole file is written in place with the same size; only one sector of it differs. */
      readonly kind: 'switch-uboot-environment';
      readonly id: string;
      readonly path: string;
      readonly change: SectorChange;
    }
  | {
      readonly kind: 'set-uboot-flag';
      readonly id: string;
      readonly flag: UbootFlag;
      /** Path of the disk or the file in stage 1. */
      readonly path: string;
    }
  // Stage 1 on Windows.
  | {
      readonly kind: 'resize-windows-partition';
      readonly id: string;
      readonly place: WindowsPartition;
      readonly fromBytes: number;
      readonly toBytes: number;
    }
  | {
      readonly kind: 'create-payload-partition';
      readonly id: string;
      readonly place: PayloadPartition;
      readonly sizeBytes: number;
      readonly typeGuid: string;
    }
  | {
      /** Taken back with the partition. */
      readonly kind: 'on-payload-partition';
      readonly id: string;
      readonly place: PayloadPartition;
      readonly step: PayloadStep;
    }
  | {
      readonly kind: 'set-uefi-boot-next';
      readonly id: string;
      readonly description: string;
      readonly place: PayloadPartition;
      /** Of the loader, with backslashes. */
      readonly filePath: string;
    }
  | {
      /** The loader stands in for Windows' boot manager, which it starts unless `variable` of its environment says otherwise. */
      readonly kind: 'replace-windows-boot-manager';
      readonly id: string;
      readonly esp: WindowsPartition;
      /** Path of the loader in the bundle. */
      readonly loader: string;
      /** Where kernel and initramfs lie. */
      readonly place: PayloadPartition;
      readonly start: { readonly kernel: string; readonly initramfs: string; readonly commandLine: readonly string[] };
      readonly variable: { readonly name: string; readonly value: string };
    }
  // Stage 2, before the point of no return: nothing on the old system's disk is changed but what arming changed there.
  | {
      readonly kind: 'confirm-grub-variable-cleared';
      readonly id: string;
      /** Path of the environment block inside its file system, and what identifies that file system. */
      readonly pathInFileSystem: string;
      readonly fileSystemUuid: string;
      readonly fileSystemType: string;
      readonly name: string;
    }
  | {
      readonly kind: 'restore-rpi-config';
      readonly id: string;
      readonly restore: BootRestore;
    }
  | { readonly kind: 'confirm-rpi-tryboot'; readonly id: string }
  | { readonly kind: 'confirm-uefi-boot-next-cleared'; readonly id: string }
  | { readonly kind: 'confirm-uboot-flag-cleared'; readonly id: string; readonly flag: UbootFlag }
  | { readonly kind: 'load-payload'; readonly id: string; readonly files: readonly PayloadFile[] }
  | {
      readonly kind: 'load-backup';
      readonly id: string;
      /** Name in stage 2's RAM directory. */
      readonly name: string;
      /** Paths on the payload's file system, from the root of that file system. */
      readonly pathInFileSystem: string;
      readonly sealInFileSystem: string;
      readonly limitBytes: number;
      /** It is only checked: a lifeboat takes it from where it lies. */
      readonly staysInPlace?: true;
    }
  | {
      readonly kind: 'prove-image';
      readonly id: string;
      readonly payload: string;
      /** On the payload's file system, where it has not been copied anywhere yet. */
      readonly pathInFileSystem?: string;
    }
  | { readonly kind: 'prove-archives'; readonly id: string }
  | {
      /** Makes the lifeboat in the file of `reserve-lifeboat`, where it lies on the target disk. All paths are those of its FAT. */
      readonly kind: 'fill-lifeboat';
      readonly id: string;
      readonly path: string;
      readonly sealPath: string;
      /** Where that FAT begins on the target disk, and the size of its partition, beyond which nothing is read or written. */
      readonly fileSystemStartByte: number;
      readonly partitionBytes: number;
      /** The first byte of the disk that the image leaves alone. */
      readonly fromByte: number;
      readonly serial: string;
      readonly way: Extract<LifeboatWay, { readonly kind: 'gpt' }>;
      /** In its volume, for the firmware, the boot loader and the kernel. */
      readonly files: readonly PlainLifeboatFile[];
      /** For stage 2 alone, which takes them from where they lie. */
      readonly data: readonly { readonly path: string; readonly from: string }[];
      /** Files that hold passwords and keys. */
      readonly secrets: readonly string[];
    }
  | {
      readonly kind: 'prove-lifeboat';
      readonly id: string;
      /** Files in it that a step of its own proves. */
      readonly provenLater: readonly string[];
    }
  | { readonly kind: 'release-target'; readonly id: string }
  | {
      /** For a lifeboat that stage 2 makes. All paths are from the root of the old file system. */
      readonly kind: 'find-lifeboat-place';
      readonly id: string;
      readonly fileSystem: DiskPlace;
      /** It lies between these bytes of the disk. */
      readonly fromByte: number;
      readonly toByte: number;
      readonly serial: string;
      readonly way: LifeboatWay;
      readonly files: readonly PlainLifeboatFile[];
      readonly data: readonly (PlainLifeboatFile & { readonly sha256?: string })[];
      /** What `seal-lifeboat` wrote of all files and loaders. */
      readonly sealPath: string;
      /** Files whose blocks are left alone: those that must be there, and those that need not. */
      readonly keeps: { readonly required: readonly string[]; readonly optional: readonly string[] };
    }
  | {
      readonly kind: 'set-uefi-boot-entry';
      readonly id: string;
      readonly description: string;
      readonly filePath: string;
      /** The image's partition; absent: the lifeboat. */
      readonly partitionLabel?: string;
    }
  // Stage 2, after the point of no return: each of these can be run again from its start.
  | {
      /** GRUB then starts stage 2 every time: one sector of its environment block, written past the file system. */
      readonly kind: 'rearm-grub';
      readonly id: string;
      readonly fileSystem: DiskPlace;
      readonly pathInFileSystem: string;
      readonly name: string;
      readonly value: string;
    }
  | {
      /** At the place that `find-lifeboat-place` describes. */
      readonly kind: 'write-lifeboat';
      readonly id: string;
    }
  | { readonly kind: 'switch-to-lifeboat'; readonly id: string }
  | {
      readonly kind: 'flash-image';
      readonly id: string;
      /** The disk boots the lifeboat meanwhile: nothing that it needs is wiped. */
      readonly keepsTables?: true;
      /** What lies before the partitions is left to `commit-image`. */
      readonly loaders?: LoaderSectors;
      readonly payload: string;
      readonly sizeBytes: number;
      /** Less than `sizeBytes` where only used blocks are written. */
      readonly writtenBytes: number;
    }
  | {
      readonly kind: 'verify-image';
      readonly id: string;
      readonly payload: string;
      /** As in `flash-image`. */
      readonly loaders?: LoaderSectors;
    }
  | {
      readonly kind: 'configure-image';
      readonly id: string;
      readonly files: readonly PlacedFile[];
      readonly logPath: string;
    }
  | {
      readonly kind: 'commit-image';
      readonly id: string;
      readonly payload: string;
      readonly loaders?: LoaderSectors;
    }
  | { readonly kind: 'write-file-systems'; readonly id: string }
  | { readonly kind: 'commit-table'; readonly id: string }
  | {
      /** The new system boots: what was only for the lifeboat is removed as far as it can be. */
      readonly kind: 'leave-lifeboat';
      readonly id: string;
      /** Files of the lifeboat that hold passwords and keys. */
      readonly secrets: readonly string[];
      /** Description of its UEFI boot entry. */
      readonly bootEntry?: string;
    };

export type StepKind = Step['kind'];
export type StepOf<K extends StepKind> = Extract<Step, { kind: K }>;

/** One line of an arithmetic that the plan rests on. */
export interface BudgetItem {
  readonly what: string;
  readonly bytes: number;
}

export interface Budget {
  readonly needed: readonly BudgetItem[];
  readonly availableBytes: number;
}

export interface SpaceBudget extends Budget {
  readonly path: string;
}

export type Grade = 'A' | 'B' | 'C';

/** Everything that will happen, as data: no functions, no secrets. Steps before `pointOfNoReturn` are undone on failure. */
export interface Plan {
  readonly version: typeof planVersion;
  /** sha256 of all the rest, so that stage 2 can tell that it runs the plan which stage 1 made. */
  readonly id: string;
  readonly toolVersion: string;
  readonly device: string;
  readonly deviceType: string;
  readonly bootManager: string;
  readonly target: DiskIdentity;
  readonly image: TargetImage;
  /**
   * How safe the machine is against a power cut while it is flashed: A, it boots stage 2 again at any moment; B, there is a short
   * window; C, the image is in RAM only.
   */
  readonly grade: Grade;
  /** Why it is no better; absent for A. */
  readonly gradeReason?: string;
  /** For B. */
  readonly window?: Pick<PowerWindow, 'bytes' | 'seconds'>;
  /** Why the lifeboat is made in stage 2, over files of the old system; absent where stage 1 makes it, or nobody. */
  readonly lateLifeboatReason?: string;
  readonly memory: Budget;
  /** One for each file system that stage 1 writes to, named by a directory in it. */
  readonly spaces: readonly SpaceBudget[];
  /** Room for a backup on the new system's data partition, as it is flashed and once it has grown. */
  readonly dataSpaces?: readonly SpaceBudget[];
  /** Seconds until the reboot into stage 2; absent: the operator reboots. */
  readonly rebootSeconds?: number;
  readonly delaySeconds: number;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  /** Where stage 2 writes its log while it runs. */
  readonly logDrive?: LogDrive;
  /** Stage 2 sends its log where the file says, by DHCP on the first of these interfaces that works. */
  readonly remoteLog?: {
    /** Path on the payload's file system; the address may hold a password. */
    readonly addressPathInFileSystem: string;
    /** Of the old system. */
    readonly hostname: string;
    /** Hardware addresses of wired interfaces. */
    readonly interfaces: readonly string[];
  };
  /** Stage 2 then shows nothing of its log on the console; init still does. */
  readonly isConsoleQuiet?: true;
  readonly stateDirectory: string;
  /** State directory inside the file system that holds it, for stage 2. */
  readonly stateDirectoryInFileSystem: string;
  /** `uuid` is absent where stage 1 makes the file system; init knows it then. */
  readonly payloadFileSystem: { readonly uuid?: string; readonly type: string };
  readonly stage1: readonly Step[];
  readonly stage2: readonly Step[];
  /** Id of the first stage-2 step that cannot be undone; absent where nothing is flashed (`no_flash`). */
  readonly pointOfNoReturn?: string;
}

/** The plan with its id filled in; the same content always gives the same id. */
export function identifyPlan(plan: Omit<Plan, 'id'>): Plan {
  const id = createHash('sha256').update(JSON.stringify(plan)).digest('hex').slice(0, 32);
  return { ...plan, id };
}

/**
 * The plan as it may be shown to anyone: without hashes of files that hold passwords or keys, by which a weak password could be
 * guessed.
 */
export function publicPlan(plan: Plan): Plan {
  const isPublic = new Set(plan.stage2.flatMap((step) => (step.kind === 'prove-image' ? [step.payload] : [])));
  const withoutHash = <T extends { readonly sha256: string }>(file: T): T => ({ ...file, sha256: '' });
  const cleaned = (step: Step): Step => {
    if (step.kind === 'write-config-json') return withoutHash(step);
    if (step.kind === 'on-payload-partition') return { ...step, step: cleaned(step.step) as PayloadStep };
    if (step.kind === 'write-connections') return { ...step, files: step.files.map(withoutHash) };
    if (step.kind !== 'load-payload') return step;
    return { ...step, files: step.files.map((file) => (isPublic.has(file.name) ? file : withoutHash(file))) };
  };
  return { ...plan, stage1: plan.stage1.map(cleaned), stage2: plan.stage2.map(cleaned) };
}

/** More than any plan has, as a file. */
export const planLimitBytes = 64 * 1024 * 1024;

export function serializePlan(plan: Plan): string {
  return `${JSON.stringify(plan, null, 1)}\n`;
}

/** Whether a plan that was read back is the one that its id was made of. */
export function isIntact({ id, ...rest }: Plan): boolean {
  return identifyPlan(rest).id === id;
}
