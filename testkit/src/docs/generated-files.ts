import { readFile } from 'node:fs/promises';
import { configSchema } from '@migrate/core';
import { configurationReference } from './configuration-reference.ts';

/** Root of the repository, as a file URL. */
export const root = new URL('../../../', import.meta.url);

export interface GeneratedFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** Every file in the repository that is written by `pnpm run docs`, as it should be. */
export async function generatedFiles(): Promise<readonly GeneratedFile[]> {
  const example = await readFile(new URL('fixtures/configs/minimal.yml', root), 'utf8');
  return [
    { path: 'docs/configuration.md', text: configurationReference(configSchema, example) },
    {
      path: 'packages/core/schema/balena-migrate.schema.json',
      text: `${JSON.stringify(configSchema, null, 2)}\n`,
    },
  ];
}

/** Paths of those that differ from what is in the repository. */
export async function staleFiles(): Promise<readonly string[]> {
  const stale: string[] = [];
  for (const { path, text } of await generatedFiles()) {
    const found = await readFile(new URL(path, root), 'utf8').catch(() => undefined);
    if (found !== text) stale.push(path);
  }
  return stale;
}
