import { resolve } from 'node:path';
import { configSchema, exitCodes, type Host, MigrateError, sampleConfig } from '@migrate/core';

/** Writes the sample configuration; a file that is there stays as it is. */
export async function init(host: Host, file: string): Promise<number> {
  const path = resolve(file);
  try {
    await host.createExclusive(path, new TextEncoder().encode(sampleConfig()), 0o644);
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'locked') throw thrown;
    throw new MigrateError('unsupported', `${path} exists and was not changed`, { cause: thrown });
  }
  process.stdout.write(`${path}: fill it in, then check it with "migrate validate ${file}"\n`);
  return exitCodes.done;
}

export function printSchema(): number {
  process.stdout.write(`${JSON.stringify(configSchema, null, 2)}\n`);
  return exitCodes.done;
}
