import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configSchema, exitCodes, parseConfig } from '@migrate/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCommandLine } from './command-line.ts';

let directory: string;
const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
const writeError = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
const printed = (spy: typeof write): string => spy.mock.calls.map(([text]) => String(text)).join('');

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sample-'));
  write.mockClear();
  writeError.mockClear();
});
afterEach(() => rm(directory, { recursive: true }));

describe('migrate init', () => {
  it('writes a configuration that is valid', async () => {
    const path = join(directory, 'balena-migrate.yml');
    expect(await runCommandLine(['init', path])).toBe(exitCodes.done);
    expect(parseConfig(await readFile(path, 'utf8'), path).findings).toEqual([]);
  });

  it('leaves a file alone that is there', async () => {
    const path = join(directory, 'balena-migrate.yml');
    await writeFile(path, 'mine');
    expect(await runCommandLine(['init', path])).toBe(exitCodes.refused);
    expect(printed(writeError)).toContain('exists and was not changed');
    expect(await readFile(path, 'utf8')).toBe('mine');
  });
});

describe('migrate schema', () => {
  it('prints the schema that is published', async () => {
    expect(await runCommandLine(['schema'])).toBe(exitCodes.done);
    expect(JSON.parse(printed(write))).toEqual(JSON.parse(JSON.stringify(configSchema)));
    const published = new URL('../../core/schema/balena-migrate.schema.json', import.meta.url);
    expect(printed(write)).toBe(readFileSync(published, 'utf8'));
  });
});
