import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { parseConfig } from './parse-config.ts';

const fixtures = fileURLToPath(new URL('../../../../fixtures/configs', import.meta.url));
const read = (name: string): string => readFileSync(`${fixtures}/${name}`, 'utf8');

describe('hostile files', () => {
  test.each<[string, string, string]>([
    ['larger than the limit', 'a: b\n'.repeat(60_000), 'config-too-large'],
    ['more words than the limit', `a: [${'1,'.repeat(20_000)}]`, 'config-too-large'],
    ['deep brackets', '['.repeat(200_000), 'config-too-deep'],
    ['deep lists', '- '.repeat(100_000), 'config-too-deep'],
    ['deep sections', Array.from({ length: 500 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''), 'config-too-deep'],
    ['deep keys', '? '.repeat(100_000), 'config-too-deep'],
    ['many keys', Array.from({ length: 4000 }, (_, i) => `k${i}:\n`).join(''), 'config-unknown-setting'],
    ['one key, many times', 'a:\n'.repeat(4000), 'config-duplicate-key'],
    ['many documents', '---\n'.repeat(6000), 'config-documents'],
    ['many aliases', `a: [${'*a,'.repeat(6000)}]`, 'config-alias'],
    ['many comments', '#\n'.repeat(9000), 'config-empty'],
    ['many quotes', `'${"''".repeat(100_000)}x`, 'config-syntax'],
    ['one long word', 'x'.repeat(250_000), 'config-type'],
    ['one long key', `? ${'x'.repeat(250_000)}`, 'config-key'],
    ['many brackets', '[]'.repeat(9000), 'config-syntax'],
    ['many colons', 'a:: :'.repeat(3000), 'config-too-deep'],
    ['many tags', '!a '.repeat(6000), 'config-syntax'],
    ['many wrong items', `migrate: { wifis: [${'1,'.repeat(5000)}] }`, 'config-type'],
    ['Windows UTF-16', '\ufffd\ufffdm\0i\0g\0', 'config-encoding'],
  ])('%s', (_name, text, code) => {
    const startMicroseconds = process.cpuUsage().user;
    const { config, findings } = parseConfig(text, 'c.yml');
    expect((process.cpuUsage().user - startMicroseconds) / 1000).toBeLessThan(5000);
    expect(config).toBeUndefined();
    expect(findings.map((finding) => finding.code)).toContain(code);
    expect(findings.length).toBeLessThanOrEqual(101);
  });

  const prototypeKeys = JSON.stringify(Reflect.ownKeys(Object.prototype).map(String));
  const words = fc.constantFrom(
    'migrate',
    'balena',
    'debug',
    'image',
    'dd',
    'fs',
    'mode',
    'wifis',
    'path',
    '__proto__',
    'constructor',
  );
  const check = (text: string): void => {
    const { config, findings } = parseConfig(text, 'c.yml');
    expect(config === undefined).toBe(findings.some((finding) => finding.severity === 'error'));
    for (const finding of findings) expect(finding.where).toMatch(/^c\.yml(:\d+:\d+( .+)?)?$/);
    expect(JSON.stringify(Reflect.ownKeys(Object.prototype).map(String))).toBe(prototypeKeys);
    expect(({} as Record<string, unknown>).mode).toBeUndefined();
  };

  test('no text makes it throw', () => {
    const piece = fc.oneof(
      words,
      fc.constantFrom(
        ':',
        ': ',
        '\n',
        '\n  ',
        '- ',
        '[',
        ']',
        '{',
        '}',
        ',',
        '"',
        "'",
        '&a',
        '*a',
        '!x',
        '#',
        '|',
        '>',
        '~',
        '?',
        '%',
        '@',
        '\t',
        '---\n',
        '<<',
      ),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => check(pieces.join(''))),
      { numRuns: 1000 },
    );
  });

  test('no data makes it throw', () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.double(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        tie('section'),
      ),
      section: fc.dictionary(fc.oneof(words, fc.string()), tie('value'), { maxKeys: 5 }),
    }));
    fc.assert(
      fc.property(value, (data) => check(stringify(data, { aliasDuplicateObjects: false }) ?? '')),
      { numRuns: 500 },
    );
  });

  test('a right file with one piece of text put in, taken out or doubled never makes it throw', () => {
    const sample = read('seed-readme.yml').replace(/^ *#.*\n/gm, '');
    fc.assert(
      fc.property(
        fc.nat(sample.length),
        fc.nat(20),
        fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('\n', ' ', ':', '&a ', '*a')),
        (at, cut, put) => check(sample.slice(0, at) + put + sample.slice(at + cut)),
      ),
      { numRuns: 500 },
    );
  });
});
