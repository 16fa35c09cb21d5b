import { describe, expect, it } from 'vitest';
import { annotatedConfig } from './annotated-config.ts';
import { configSchema, type SettingSchema } from './config-schema.ts';
import { parseConfig } from './parse-config.ts';
import { sampleConfig } from './sample-config.ts';

/** Each setting in a comment with the lines below that belong to it: line numbers of the sample. */
function commentedSettings(lines: readonly string[]): readonly (readonly number[])[] {
  return lines.flatMap((line, index) => {
    const indent = /^( *)#[a-z_0-9]+:/.exec(line)?.[1];
    if (indent === undefined) return [];
    const numbers = [index];
    while (lines[index + numbers.length]?.startsWith(`${indent}#  `)) numbers.push(index + numbers.length);
    return [numbers];
  });
}

function inForce(lines: readonly string[], numbers: readonly number[]): string {
  return lines.map((line, index) => (numbers.includes(index) ? line.replace('#', '') : line)).join('\n');
}

const isError = ({ severity }: { severity: string }): boolean => severity === 'error';

const lines = sampleConfig().split('\n');

describe('sampleConfig', () => {
  it('is a sound configuration that sets what it needs and nothing else', () => {
    const values = { migrate: { reboot: 5 }, balena: { image: { dd: { path: 'balena.img.gz' } } } };
    const least = annotatedConfig({
      values: { ...values, balena: { ...values.balena, config: { path: 'config.json' } } },
      others: 'omitted',
    });
    const sample = parseConfig(sampleConfig(), 'balena-migrate.yml');
    expect(sample.findings).toEqual([]);
    expect(sample).toEqual(parseConfig(least, 'balena-migrate.yml'));
  });

  it('has an example of every setting that has an effect', () => {
    const names = (section: SettingSchema): string[] =>
      Object.entries(section.properties ?? {}).flatMap(([key, schema]) => {
        if (schema['x-support'] === 'ignored') return [];
        return [key, ...(schema.examples === undefined && schema.required === undefined ? names(schema) : [])];
      });
    for (const name of names(configSchema)) expect(sampleConfig()).toMatch(new RegExp(`^ *#?${name}:`, 'm'));
  });

  it.each(commentedSettings(lines).map((numbers) => [lines[numbers[0] ?? 0]?.trim() ?? '', numbers] as const))(
    'stays sound with %s put into force',
    (_, numbers) => {
      const text = inForce(lines, numbers);
      // Other kinds of images exclude the one that the sample has.
      const isKindOfImage = (lines[numbers[0] ?? 0] ?? '').startsWith('    #');
      const texts = [text, ...(isKindOfImage ? [text.replace(/^ {4}dd:\n(?: {6}.*\n)+/m, '')] : [])];
      const faults = texts.map((candidate) => parseConfig(candidate, 'x').findings.filter(isError));
      expect(faults.find((found) => found.length === 0) ?? faults).toEqual([]);
    },
  );
});

describe('annotatedConfig', () => {
  it('writes given settings with their meaning and leaves out the others', () => {
    const text = annotatedConfig({
      values: { migrate: { wifis: ['a: b', '#c'], log: { level: 'debug' } }, debug: { no_flash: true } },
      others: 'omitted',
    });
    expect(text.replaceAll(/^ *# .*\n/gm, '')).toBe(
      'migrate:\n  wifis:\n    - "a: b"\n    - "#c"\n  log:\n    level: debug\n\ndebug:\n  no_flash: true\n',
    );
    expect(text).toContain('  # The least important messages');
    expect(parseConfig(text, 'x').config?.migrate).toMatchObject({ wifis: ['a: b', '#c'], log: { level: 'debug' } });
  });
});
