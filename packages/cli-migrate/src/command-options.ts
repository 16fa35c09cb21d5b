import { resolve } from 'node:path';
import { type Finding, type Host, messageOf, type Report, renderRefusal, serializeReport } from '@migrate/core';
import type { ConfigChoice } from './find-config.ts';

export interface CommonOptions {
  readonly config?: string;
  readonly workDir?: string;
  readonly json?: boolean;
  /** Where the result goes as JSON. */
  readonly report?: string;
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

/**
 * Writes the report where the operator wants it, readable for its owner only: it names disks and files of the machine. What was
 * done is done: that it cannot be written is said, and changes nothing else.
 */
export async function saveReport(host: Host, { report: path }: CommonOptions, report: Report): Promise<void> {
  if (path === undefined) return;
  try {
    await host.writeDurable(resolve(path), serializeReport(report), { mode: 0o600 });
  } catch (thrown) {
    process.stderr.write(`migrate: the report was not written: ${messageOf(thrown)}\n`);
  }
}
