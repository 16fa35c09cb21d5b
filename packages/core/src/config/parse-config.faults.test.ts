import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseConfig } from './parse-config.ts';

const fixtures = fileURLToPath(new URL('../../../../fixtures/configs', import.meta.url));
const read = (name: string): string => readFileSync(`${fixtures}/${name}`, 'utf8');

describe('faults', () => {
  const bad = readdirSync(`${fixtures}/bad`).filter((name) => name.endsWith('.yml'));

  test.each(bad)('%s', async (name) => {
    const { config, findings } = parseConfig(read(`bad/${name}`), name);
    expect(config).toBeUndefined();
    expect(findings.some((finding) => finding.severity === 'error')).toBe(true);
    const lines = findings.map(
      ({ severity, code, where, message, hint }) => `${severity} ${where}: ${message} [${code}]\n  ${hint}\n`,
    );
    await expect(lines.join('')).toMatchFileSnapshot(`${fixtures}/bad/${name.replace('.yml', '.findings.txt')}`);
    // Only plain characters reach a terminal.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    expect(lines.join('')).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  });

  test('all faults of all sections come at once, in the order of the file', () => {
    const { findings } = parseConfig(read('bad/every-kind.yml'), 'c.yml');
    const lines = findings.map((finding) => Number(finding.where.split(':')[1]));
    expect(lines.length).toBeGreaterThan(40);
    expect(lines).toEqual([...lines].sort((a, b) => a - b));
    expect(new Set(findings.map((finding) => finding.code))).toEqual(
      new Set(['config-value', 'config-type', 'config-missing', 'config-unknown-setting', 'config-conflict']),
    );
  });

  test('columns count characters, whatever stands before', () => {
    expect(parseConfig('migrate: { wifis: ["äöü😀"], mod: x }', 'c.yml').findings).toMatchObject([
      { where: 'c.yml:1:29 migrate.mod', message: 'there is no setting "mod" here' },
    ]);
  });

  test.each([
    ['all_wifi', 'all_wifis'],
    ['allWifis', 'all_wifis'],
    ['work-dir', 'work_dir'],
    ['rebooot', 'reboot'],
    ['wfiis', 'wifis'],
    ['kernal', 'kernel'],
    ['nwmgr_file', 'nwmgr_files'],
  ])('migrate.%s: did you mean %s?', (written, meant) => {
    expect(parseConfig(`migrate:\n  ${written}: x\n`, 'c').findings).toMatchObject([
      { hint: `Did you mean ${meant}?` },
    ]);
  });

  test.each([
    ['mode: pretend', 'It belongs under migrate'],
    ['balena: { backup: [] }', 'It belongs under migrate'],
    ['migrate: { no_flash: true }', 'It belongs under debug'],
    ['migrate: { balena: {} }', 'It belongs at the top level'],
    ['migrate: { sha512: x }', 'Remove it; known here: mode'],
    ['migrate: { path: x }', 'Remove it; known here: mode'],
  ])('%s: %s', (text, hint) => {
    expect(parseConfig(text, 'c').findings[0]?.hint).toMatch(new RegExp(`^${hint}`));
  });

  test('a fault hides no other one at the same setting', () => {
    const { findings } = parseConfig('migrate:\n  mode: no\n  mode: pretend\n', 'c.yml');
    expect(findings.map(({ code, where }) => `${code} ${where}`)).toEqual([
      'config-value c.yml:2:3 migrate.mode',
      'config-duplicate-key c.yml:3:3 migrate.mode',
    ]);
  });

  test('a hundred findings are enough', () => {
    const { findings } = parseConfig(Array.from({ length: 2000 }, (_, i) => `k${i}: x\n`).join(''), 'c.yml');
    expect(findings.length).toBe(101);
    expect(findings.at(-1)).toMatchObject({ code: 'config-more', message: 'more faults follow' });
  });
});
