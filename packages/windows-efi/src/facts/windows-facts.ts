import type { Architecture } from '@migrate/core';

/** A plain snapshot of a machine that runs Windows, without secrets: all that planning may know of it. */
export interface WindowsFacts {
  readonly version: 1;
  readonly platform: 'windows';
  readonly isAdministrator: boolean;
  readonly hostname: string;
  readonly os: {
    readonly name: string;
    /** "23H2"; absent before Windows 10 20H2. */
    readonly displayVersion?: string;
    readonly build?: number;
    readonly edition?: string;
  };
  /** Of Windows itself, whatever program asks. */
  readonly architecture: Architecture;
  readonly hardware: { readonly vendor?: string; readonly product?: string };
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number };
  readonly firmware: 'bios' | 'uefi' | 'unknown';
  /** Absent where the firmware knows none. */
  readonly secureBoot?: boolean;
  /** Whether "shut down" hibernates the kernel (HiberbootEnabled, which counts only with hibernation on). */
  readonly hasFastStart: boolean;
  readonly battery?: { readonly isDischarging: boolean; readonly percent: number };
  /** New volumes are not mounted (mountvol /N), so that Windows cannot format a partition without a drive letter. */
  readonly isAutoMountOff?: true;
  /** Changes at every start: a counter of Windows, else the time of the start. */
  readonly bootId: string;
  /** "C:" */
  readonly systemDrive: string;
  /** "C:\Program Files": what lies in it, only administrators can change. */
  readonly programFiles: string;
  /** `absent`: this Windows has no BitLocker; `unknown`: it could not be asked. */
  readonly bitLocker: 'read' | 'absent' | 'unknown';
  readonly disks: readonly WindowsDisk[];
}

export interface WindowsDisk {
  readonly number: number;
  readonly model?: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
  readonly table: 'gpt' | 'mbr' | 'none' | 'unknown';
  /** Disk GUID of a GPT, lower case without braces. */
  readonly guid?: string;
  /** "NVMe", "SATA", "RAID", "USB"…; "bus 99" for one without a name. */
  readonly bus: string;
  readonly isOffline: boolean;
  readonly isReadOnly: boolean;
  /** In order of their places. */
  readonly partitions: readonly WindowsVolumePartition[];
}

export interface WindowsVolumePartition {
  readonly number: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Partition type GUID, lower case without braces. */
  readonly type?: string;
  readonly mbrType?: number;
  readonly guid?: string;
  /** "C" */
  readonly driveLetter?: string;
  /** Windows runs from it. */
  readonly isBoot: boolean;
  /** Windows was started from it: the EFI system partition. */
  readonly isSystem: boolean;
  readonly volume?: WindowsVolume;
  readonly bitLocker?: BitLocker;
  /** What NTFS can be resized to. */
  readonly supportedSize?: { readonly minimumBytes: number; readonly maximumBytes: number };
}

export interface WindowsVolume {
  /** "\\?\Volume{…}\" */
  readonly path: string;
  /** As Windows writes it: "NTFS", "FAT32"; empty for one that it does not know. */
  readonly fileSystem: string;
  readonly label: string;
  readonly sizeBytes: number;
  readonly freeBytes: number;
  /** Serial number of a FAT as Linux writes its UUID: "1A2B-3C4D". */
  readonly uuid?: string;
}

export interface BitLocker {
  /** Win32_EncryptableVolume.ProtectionStatus: 0 off or suspended, 1 on, 2 unknown, as with a locked volume. */
  readonly protection: 'off' | 'on' | 'unknown';
  /** ConversionStatus of GetConversionStatus. */
  readonly conversion: 'decrypted' | 'encrypted' | 'encrypting' | 'decrypting' | 'paused' | 'unknown';
}

/** Partition type GUIDs (learn.microsoft.com, CREATE_PARTITION_PARAMETERS and PARTITION_INFORMATION_GPT). */
export const partitionTypes = {
  esp: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  basicData: 'ebd0a0a2-b9e5-4433-87c0-68b6b72699c7',
  dynamicMetadata: '5808c8aa-7e8f-42e0-85d2-e1e90434cfb3',
  dynamicData: 'af9b60a0-1431-4f62-bc68-3311714a69ad',
  storageSpaces: 'e75caf8f-f680-4cee-afa3-b001e56efc2d',
} as const;

/** The disk and partition that Windows runs from: the one with the system drive's letter. */
export function windowsPartition(
  facts: Pick<WindowsFacts, 'disks' | 'systemDrive'>,
): { readonly disk: WindowsDisk; readonly partition: WindowsVolumePartition } | undefined {
  const letter = facts.systemDrive.slice(0, 1).toUpperCase();
  for (const disk of facts.disks) {
    const partition =
      disk.partitions.find(({ driveLetter }) => driveLetter?.toUpperCase() === letter) ??
      disk.partitions.find(({ isBoot }) => isBoot);
    if (partition !== undefined) return { disk, partition };
  }
  return undefined;
}

/** The system partition that Windows was started from; else the only one there is. */
export function systemPartition(
  facts: Pick<WindowsFacts, 'disks'>,
): { readonly disk: WindowsDisk; readonly partition: WindowsVolumePartition } | undefined {
  const all = facts.disks.flatMap((disk) =>
    disk.partitions.filter(({ type }) => type === partitionTypes.esp).map((partition) => ({ disk, partition })),
  );
  return all.find(({ partition }) => partition.isSystem) ?? (all.length === 1 ? all[0] : undefined);
}
