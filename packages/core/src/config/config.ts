// What a user asked for, after parsing: camelCase, defaults filled in, hashes typed. The YAML form is config-schema.ts.

import type { Secret } from '../secret.ts';

export type Mode = 'pretend' | 'immediate' | 'connected' | 'extract';
export type HashAlgorithm = 'sha256' | 'sha1' | 'md5';

export interface ExpectedHash {
  readonly algorithm: HashAlgorithm;
  /** Lower-case hexadecimal. */
  readonly digest: string;
}

export interface FileReference {
  /** As written; relative paths are relative to the work directory. */
  readonly path: string;
  readonly hash?: ExpectedHash;
}

export interface BackupItem {
  readonly source: string;
  readonly target?: string;
  readonly filter?: string;
}

export interface BackupVolume {
  readonly volume: string;
  readonly items: readonly BackupItem[];
}

export interface WatchdogSetting {
  readonly path: string;
  readonly intervalSeconds?: number;
  readonly close?: boolean;
}

/** How U-Boot is made to start stage 2. */
export interface UbootSetting {
  readonly strategy: { readonly kind: 'manual' } | { readonly kind: 'uname'; readonly uname: string };
  /** As U-Boot counts: 0 is the SD card, 1 the eMMC. */
  readonly mmcIndex?: number;
}

/** How a file system was made. */
export interface FileSystemSetting {
  readonly type: 'fat12' | 'fat16' | 'fat32' | 'ext2' | 'ext3' | 'ext4';
  readonly label?: string;
  /** Lower-case UUID, or "ABCD-1234" for FAT. */
  readonly uuid?: string;
  /** Bytes of a block of ext, of a cluster of FAT. */
  readonly blockBytes?: number;
  /** Number of inodes (ext). */
  readonly inodes?: number;
  /** Bytes of an inode (ext). */
  readonly inodeBytes?: number;
  /** Names as `mkfs.ext4 -O` takes them. */
  readonly features?: readonly string[];
}

export interface PartitionArchive {
  /** Size of the partition in sectors of 512 bytes. */
  readonly blocks: number;
  readonly archive: FileReference;
  /** Where the partition starts, in sectors of 512 bytes. */
  readonly startBlock?: number;
  /** Type in the table: two lower-case hex digits (MBR), upper-case GUID (GPT). */
  readonly type?: string;
  /** GPT only: lower-case GUID of the partition. */
  readonly uuid?: string;
  readonly fileSystem?: FileSystemSetting;
}

export type PartitionName = 'boot' | 'rootA' | 'rootB' | 'state' | 'data';

/** An image as archives, one for each partition: what `balena-extract` prints. */
export interface FsImageSetting {
  readonly kind: 'fs';
  readonly deviceSlug: string;
  readonly check: 'none' | 'ro' | 'rw';
  readonly maxData: boolean;
  readonly mkfsDirect: boolean;
  /** Size of the extended partition of an MBR in sectors of 512 bytes. */
  readonly extendedBlocks?: number;
  readonly table?: 'mbr' | 'gpt';
  /** As PartitionTable.id. */
  readonly diskId?: string;
  readonly partitions: Readonly<Record<PartitionName, PartitionArchive>>;
}

/** A whole image. */
export interface DdImageSetting {
  readonly kind: 'dd';
  readonly file: FileReference;
  /** Whether blocks that hold nothing are written too, over what the old system left there. */
  readonly writesUnused: boolean;
}

/** A whole image that is fetched from the balena API, or was. */
export interface DownloadImageSetting {
  readonly kind: 'download';
  /** See chooseOsVersion. */
  readonly version: string;
  readonly writesUnused: boolean;
}

export type ImageSetting = DdImageSetting | FsImageSetting | DownloadImageSetting;

/** What a go-ahead for this machine comes by. */
export type AgentSource =
  | { readonly kind: 'watch'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'device-variables' };

export interface AgentSetting {
  /** All that the file gives; an agent needs just one. */
  readonly sources: readonly AgentSource[];
  readonly reportUrl?: string;
  readonly tokenFile?: string;
  readonly device?: string;
  readonly requiresPlan: boolean;
  readonly intervalSeconds: number;
}

export interface Config {
  readonly migrate: {
    readonly mode: Mode;
    readonly workDir: string;
    readonly allWifis: boolean;
    readonly wifis: readonly string[];
    readonly wired: boolean;
    readonly proxy: boolean;
    /** Seconds to wait before the reboot into stage 2; undefined: prepare only, the user reboots. */
    readonly rebootSeconds?: number;
    readonly log: {
      readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
      readonly drive?: string;
      readonly console: boolean;
      readonly remote?: {
        /** May hold user and password. */
        readonly url: Secret;
        /** Base64 of certificates in PEM; see decodeAuthority. */
        readonly rootCa?: string;
        readonly inStage2: boolean;
      };
    };
    readonly kernel?: FileReference;
    readonly initrd?: FileReference;
    readonly deviceTree: readonly FileReference[];
    readonly backup: readonly BackupVolume[];
    readonly identity: {
      readonly hostname: boolean;
      /** Name of the volume that gets them. */
      readonly sshHostKeys?: string;
      /** Name of the volume that gets it. */
      readonly machineId?: string;
    };
    readonly networkFiles: readonly string[];
    readonly requireNetworkConfig: boolean;
    readonly gzipInternal: boolean;
    readonly tarInternal: boolean;
    readonly kernelOptions: readonly string[];
    readonly forceFlashDevice?: string;
    readonly delaySeconds: number;
    /** Where the image lies while the disk is flashed; `auto`: in a lifeboat where that can be had. */
    readonly staging: 'auto' | 'ram' | 'lifeboat' | 'late-lifeboat';
    /** The least that is accepted. */
    readonly requireGrade?: 'A' | 'B' | 'C';
    readonly watchdogs: readonly WatchdogSetting[];
    readonly failMode: 'reboot' | 'rescue-shell';
    /** Absent: by BootNext. */
    readonly windowsBoot?: 'boot-manager';
    readonly uboot?: UbootSetting;
  };
  readonly balena: {
    readonly image?: ImageSetting;
    readonly config?: FileReference;
    readonly appName?: string;
    readonly api: {
      readonly host?: string;
      readonly port?: number;
      readonly check: boolean;
      readonly checkKey: boolean;
      readonly reportProgress: boolean;
    };
    readonly checkVpn: boolean;
    readonly checkTimeoutSeconds: number;
  };
  readonly agent?: AgentSetting;
  readonly debug: { readonly noFlash: boolean };
}
