import { type Finding, MigrateError, renderRefusal } from '@migrate/core';
import type { OnTakenName } from '@migrate/engine-preload';

export const programName = 'inject';

export interface CommonOptions {
  readonly json?: boolean;
}

/** Where apps.json comes from, and who the app is. */
export interface AppsOptions extends CommonOptions {
  readonly apps?: string;
  readonly compose?: string;
  readonly targetState?: string;
  readonly appName?: string;
  readonly appUuid?: string;
  readonly appId?: number;
  readonly releaseUuid?: string;
  readonly releaseId?: number;
  readonly deviceUuid?: string;
  readonly pin?: boolean;
  readonly stopped?: boolean;
}

export interface InjectOptions extends AppsOptions {
  readonly from?: string;
  readonly only?: readonly string[];
  readonly resinData?: string;
  readonly resinBoot?: string;
  readonly image?: string;
  readonly grow?: boolean;
  readonly onConflict: OnTakenName;
  readonly network?: readonly string[];
  readonly staticIp?: string;
  readonly yes?: boolean;
}

/** The value of an option that a command cannot do without. */
export function requiredOption(value: string | undefined, flag: string): string {
  if (value === undefined)
    throw new MigrateError('invalid-input', `${flag} is missing; "inject --help" shows all options`);
  return value;
}

/** "1 image", "2 images". */
export function countOf(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** Prints what stands against it and returns the exit code. */
export function refuse(findings: readonly Finding[], options: CommonOptions, exitCode: number): number {
  renderRefusal(programName, findings, options);
  return exitCode;
}
