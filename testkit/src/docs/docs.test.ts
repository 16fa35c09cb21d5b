import { readFile } from 'node:fs/promises';
import { configSchema, parseConfig, type SettingSchema } from '@migrate/core';
import { expect, test } from 'vitest';
import { generatedFiles, root, staleFiles } from './generated-files.ts';

test('generated files are fresh', async () => {
  expect(await staleFiles()).toEqual([]);
});

test('the example is a sound configuration', async () => {
  const text = await readFile(new URL('fixtures/configs/minimal.yml', root), 'utf8');
  expect(parseConfig(text, 'minimal.yml')).toMatchObject({ findings: [], config: { migrate: { mode: 'pretend' } } });
});

test('every setting has a description, and an example or parts or a default, and a row in the reference', async () => {
  const reference = (await generatedFiles()).find((file) => file.path === 'docs/configuration.md')?.text ?? '';
  const missing: string[] = [];
  const visit = (schema: SettingSchema, path: string): void => {
    for (const [key, child] of Object.entries(schema.properties ?? {})) {
      const name = path === '' ? key : `${path}.${key}`;
      if (child.description === undefined) missing.push(`description of ${name}`);
      const isLeaf = child.properties === undefined && child.items === undefined;
      if (isLeaf && child.examples === undefined && name !== 'balena.api.key') missing.push(`example of ${name}`);
      const shown = name.replace(/^.*\.(?=path$|hash|hash\..*$)/, '');
      if (!reference.includes(key)) missing.push(`row of ${shown}`);
      visit(child, name);
    }
    if (schema.items !== undefined) visit(schema.items, `${path}[]`);
  };
  visit(configSchema, '');
  expect(missing).toEqual([]);
});
