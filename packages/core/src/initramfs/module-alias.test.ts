import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeAliasTable, matchesPattern, modulesForAlias } from './module-alias.ts';

describe('matchesPattern', () => {
  it.each([
    ['', '', true],
    ['*', '', true],
    ['a*', 'a', true],
    ['a?', 'a', false],
    ['pci:v00008086d*sv*sd*bc01sc06i01*', 'pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01', true],
    ['pci:v00008086d*sv*sd*bc01sc06i01*', 'pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i02', false],
    ['[0-9]', '5', true],
    ['[0-9]', 'a', false],
    ['[!0-9]', 'a', true],
    ['[^0-9]', '3', false],
    ['[]a]', ']', true],
    ['[a-]', '-', true],
    ['usb:v1234d010[0-2]*', 'usb:v1234d0102dc00', true],
    ['[a', '[a', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['*a*b*c', 'xxaxxbxxbxxc', true],
    ['*a*b*c', 'xxaxxbxxbxx', false],
  ])('%j and %j: %s', (pattern, text, expected) => {
    expect(matchesPattern(pattern, text)).toBe(expected);
  });

  it('agrees with a regular expression', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 });
    const patterns = fc.array(fc.constantFrom('a', 'b', 'c', '*', '?', '[ab]', '[!a]', '[b-c]'), { maxLength: 8 });
    fc.assert(
      fc.property(texts, patterns, (text, parts) => {
        const expression = parts
          .map((part) => (({ '*': '.*', '?': '.', '[!a]': '[^a]' }) as Record<string, string>)[part] ?? part)
          .join('');
        expect(matchesPattern(parts.join(''), text)).toBe(new RegExp(`^${expression}$`).test(text));
      }),
      { numRuns: 2000 },
    );
  });

  it('does not blow up', () => {
    const startMicroseconds = process.cpuUsage().user;
    expect(matchesPattern(`${'*a'.repeat(100)}b`, 'a'.repeat(4000))).toBe(false);
    expect((process.cpuUsage().user - startMicroseconds) / 1000).toBeLessThan(2000);
  });
});

describe('modulesForAlias', () => {
  it('finds all that match, each once, with - and _ alike outside of brackets', () => {
    const table = makeAliasTable([
      ['pci:v*bc01*', 'first'],
      ['pci:v00001AF4d*', 'second'],
      ['pci:v00001AF4*', 'second'],
      ['usb:*', 'third'],
      ['*', 'every'],
      ['crypto-crc32c', 'exact'],
      ['acpi*:X[a-c]_1:*', 'brackets'],
    ]);
    expect(modulesForAlias(table, 'pci:v00001AF4d00001001bc01')).toEqual(['first', 'second', 'every']);
    expect(modulesForAlias(table, 'crypto_crc32c')).toEqual(['exact', 'every']);
    expect(modulesForAlias(table, 'acpi:Xb-1:')).toEqual(['every', 'brackets']);
  });

  it('looks up fast in a table of the usual size, and passes over absurd lines', () => {
    const hexadecimal = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
    const pairs = Array.from({ length: 20_000 }, (_, i): [string, string] => [
      `pci:v${hexadecimal(i % 200)}d${hexadecimal(i)}sv*sd*bc*sc*i*`,
      `m${i}`,
    ]);
    pairs.push(['['.repeat(5_000_000), 'absurd']);
    const startMicroseconds = process.cpuUsage().user;
    const table = makeAliasTable(pairs);
    for (let i = 0; i < 100; i += 1) {
      const device = i * 199 + 1;
      const alias = `pci:v${hexadecimal(device % 200)}d${hexadecimal(device)}sv0000sd0000bc01sc00i00`;
      expect(modulesForAlias(table, alias)).toEqual([`m${device}`]);
    }
    expect((process.cpuUsage().user - startMicroseconds) / 1000).toBeLessThan(3000);
  });
});
