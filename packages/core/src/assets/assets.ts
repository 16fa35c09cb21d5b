import type { BackupSurvey } from '../backup/survey-backup.ts';
import type { Config } from '../config/config.ts';
import type { Architecture } from '../machine/facts.ts';
import type { ProxyNotCarried } from '../network/choose-proxy.ts';
import type { NotCarried } from '../network/profile.ts';
import type { Finding } from '../plan/finding.ts';
import type { AssetFile } from './asset-file.ts';
import type { TargetImage } from './image.ts';

export interface ConnectionAsset extends AssetFile {
  /** File name in system-connections. */
  readonly name: string;
}

/** The stage-2 runtime: what the bundle ships beside the command. */
export interface RuntimeAsset {
  readonly directory: string;
  /** What its programs are for; absent where they do not say. */
  readonly architecture?: Architecture;
  /** Paths relative to `directory`. */
  readonly files: readonly { readonly path: string; readonly sizeBytes: number; readonly isExecutable: boolean }[];
}

/** Size of one of its files by its whole path; 0 where it has none there. */
export function runtimeFileBytes(runtime: RuntimeAsset | undefined, path: string): number {
  return runtime?.files.find((file) => `${runtime.directory}/${file.path}` === path)?.sizeBytes ?? 0;
}

/** A file that stage 1 makes of the old system's networks. */
export interface MadeFile {
  readonly name: string;
  /** Where it comes from, for people. */
  readonly description: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** What moves of the old system's networks; the keyfiles themselves are left where they came from until they are written. */
export interface MigratedNetworks {
  readonly profiles: readonly MadeFile[];
  /** Files of system-proxy; absent where the configuration wants no proxy to move. */
  readonly proxy?: { readonly files: readonly MadeFile[]; readonly notCarried: readonly ProxyNotCarried[] };
  readonly notCarried: readonly NotCarried[];
  /** Wanted SSIDs that this system does not know. */
  readonly missing: readonly string[];
}

/** Everything read from files that planning needs. What could not be had is a finding instead. */
export interface Assets {
  readonly image?: TargetImage;
  readonly configJson?: AssetFile & {
    readonly deviceType: string;
    readonly applicationName?: string;
    /** The file as the new system gets it, where this system's hostname is put into it. */
    readonly withHostname?: { readonly hostname: string; readonly sizeBytes: number; readonly sha256: string };
  };
  readonly connections: readonly ConnectionAsset[];
  /** Absent where another machine is planned for. */
  readonly networks?: MigratedNetworks;
  /** Absent where nothing is backed up, or another machine is planned for. */
  readonly backup?: BackupSurvey;
  readonly runtime?: RuntimeAsset;
  readonly findings: readonly Finding[];
}

/** What planning starts from. */
export interface PlanInput {
  readonly config: Config;
  readonly assets: Assets;
}
