import { exitCodes, refuses, renderFindings } from '@migrate/core';
import { configureImageFile } from '@migrate/image-tools';
import type { CommandContext } from './command-context.ts';
import type { CommonOptions } from './command-options.ts';

export interface ConfigureCommandOptions extends CommonOptions {
  readonly config: string;
  readonly network?: readonly string[];
}

/** Writes config.json and connection files into the boot partition of a raw image, in place. */
export async function configure(
  { host }: CommandContext,
  imagePath: string,
  options: ConfigureCommandOptions,
): Promise<number> {
  const { findings, written } = await configureImageFile(host, {
    imagePath,
    configPath: options.config,
    connectionPaths: options.network ?? [],
  });
  if (options.json) process.stdout.write(`${JSON.stringify({ findings, written: written ?? null }, null, 2)}\n`);
  else process.stderr.write(renderFindings(findings));
  if (refuses(findings) || written === undefined) {
    if (!options.json) process.stderr.write('balena-extract: refused, nothing was changed\n');
    return exitCodes.refused;
  }
  if (!options.json) process.stdout.write(`${imagePath}: ${written.partition} has ${written.paths.join(', ')}\n`);
  return exitCodes.done;
}
