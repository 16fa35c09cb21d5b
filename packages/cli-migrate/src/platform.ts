// The systems that stage 1 runs on. Which one this is, is asked here and nowhere else.
import type { Assets, Config, Disk, Facts, FormerRun, Host, PlanResult } from '@migrate/core';
import { linuxPlatform } from './linux-platform.ts';
import { windowsPlatform } from './windows-platform.ts';

export interface Platform {
  /** The machine, with what its system does in its own way. */
  readonly host: Host;
  /** Where lock, journal and report lie. */
  readonly stateDirectory: string;
  findFormerRun(): Promise<FormerRun>;
  /** Where stage 2 leaves word when it gives way; undefined where that is not there. */
  resultDirectory(): Promise<string | undefined>;
  /** What `migrate facts` prints, for `migrate explain` on a desk. */
  capture(): Promise<unknown>;
  /** Changes nothing. */
  survey(request: SurveyRequest): Promise<Survey>;
}

export interface SurveyRequest {
  readonly config: Config;
  /** Absolute. */
  readonly workDirectory: string;
  readonly bundleDirectory: string;
}

/** A machine as planning sees it: this one, or one whose facts were captured. */
export interface Survey {
  readonly facts: Facts;
  /** The disk to flash, where that is certain. */
  readonly target: Disk | undefined;
  /** Whether files and networks of the machine are at hand by Linux's own files. */
  readonly readsLinux: boolean;
  /** Adds what else is read for a migration. */
  complete(assets: Assets): Promise<Assets>;
  plan(assets: Assets): PlanResult;
}

export async function platformOf(host: Host): Promise<Platform> {
  return host.system === 'windows' ? windowsPlatform(host) : linuxPlatform(host);
}
