import { type Finding, renderRefusal } from '@migrate/core';
import type { ConfigChoice } from './find-config.ts';

export interface CommonOptions {
  readonly config?: string;
  readonly workDir?: string;
  readonly json?: boolean;
}

export interface MigrateOptions extends CommonOptions {
  readonly mode?: 'pretend' | 'immediate' | 'connected';
  readonly yes?: boolean;
  /** False: --no-reboot. */
  readonly reboot?: boolean;
}

/** Where the options say that the configuration lies. */
export function choiceOf(options: CommonOptions): ConfigChoice {
  return {
    currentDirectory: process.cwd(),
    ...(options.config === undefined ? {} : { configPath: options.config }),
    ...(options.workDir === undefined ? {} : { workDirectory: options.workDir }),
  };
}

/** Prints what stands against it and returns the exit code. */
export function refuse(findings: readonly Finding[], options: CommonOptions, exitCode: number): number {
  renderRefusal('migrate', findings, options);
  return exitCode;
}
