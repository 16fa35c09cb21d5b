import { resolve } from 'node:path';
import { type Config, type Finding, type HostReader, MigrateError, parseConfig } from '@migrate/core';

export const configName = 'balena-migrate.yml';

export interface ConfigChoice {
  /** -c: this file and no other. */
  readonly configPath?: string;
  /** -w: overrides migrate.work_dir. */
  readonly workDirectory?: string;
  readonly currentDirectory: string;
}

export interface FoundConfig {
  readonly path: string;
  readonly config?: Config;
  readonly findings: readonly Finding[];
  /** Absolute. */
  readonly workDirectory: string;
}

/** Finds and parses the configuration: `-c`, else in the current directory, else in the work directory. */
export async function findConfig(host: HostReader, choice: ConfigChoice): Promise<FoundConfig> {
  const { currentDirectory } = choice;
  const candidates =
    choice.configPath === undefined
      ? [
          currentDirectory,
          ...(choice.workDirectory === undefined ? [] : [resolve(currentDirectory, choice.workDirectory)]),
        ].map((directory) => `${directory}/${configName}`)
      : [resolve(currentDirectory, choice.configPath)];
  for (const path of candidates) {
    const text = await host.readText(path);
    if (text === undefined) continue;
    const { config, findings } = parseConfig(text, path);
    const workDirectory = resolve(currentDirectory, choice.workDirectory ?? config?.migrate.workDir ?? '.');
    return { path, findings, workDirectory, ...(config === undefined ? {} : { config }) };
  }
  throw new MigrateError(
    'invalid-input',
    `there is no configuration: ${candidates.join(' and ')} ${candidates.length > 1 ? 'do' : 'does'} not exist; name one with -c FILE`,
  );
}
