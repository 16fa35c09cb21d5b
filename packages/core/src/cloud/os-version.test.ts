import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chooseOsVersion } from './os-version.ts';

const available = [
  '6.0.0-rc1',
  '5.1.20+rev1',
  '5.1.20',
  '5.2.0+rev2.dev',
  '5.0.9+rev10',
  '5.0.9+rev9',
  '4.0.26+rev',
  '2.38.0+rev1.prod',
  '2.38.0+rev1.dev',
  '0.3.1',
  'nightly',
  '999999999999.0.0',
];

test.each([
  ['latest', '5.1.20+rev1'],
  ['default', '5.1.20+rev1'],
  ['^5', '5.1.20+rev1'],
  ['^5.0.9', '5.1.20+rev1'],
  ['~5.0', '5.0.9+rev10'],
  ['~5.0.10', undefined],
  ['~5', '5.1.20+rev1'],
  ['^0.3', '0.3.1'],
  ['^0.2', undefined],
  ['^0.3.2', undefined],
  ['5.0.9', '5.0.9+rev10'],
  ['5.0.9+rev9', '5.0.9+rev9'],
  ['5.0.9+rev3', undefined],
  ['5.1.20', '5.1.20'],
  ['6.0.0-rc1', '6.0.0-rc1'],
  ['^6', undefined],
  ['5.2.0', undefined],
  ['5.2.0+rev2.dev', '5.2.0+rev2.dev'],
  ['2.38.0+rev1', '2.38.0+rev1.prod'],
  ['2.38.0', '2.38.0+rev1.prod'],
  ['4.0.26+rev', '4.0.26+rev'],
  ['>=5', undefined],
  ['^5.1.20+rev1', undefined],
  ['', undefined],
])('%s is %s', (spec, chosen) => {
  expect(chooseOsVersion(spec, available)).toBe(chosen);
});

const version = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(12));
const textOf = ([major, minor, patch, revision]: readonly number[]): string =>
  `${major}.${minor}.${patch}${revision === 0 ? '' : `+rev${revision}`}`;
const rank = (text: string): number =>
  [...text.matchAll(/\d+/g)].reduce((sum, [digits], index) => sum + Number(digits) * 100 ** (3 - index), 0);

test('a range gives the newest that is in it, whatever the order of the list', () => {
  fc.assert(
    fc.property(fc.array(version), version, fc.constantFrom('^', '~'), (list, [major, minor, patch], operator) => {
      const texts = list.map(textOf);
      const inRange = list.filter(([a, b, c]) => {
        const isNewEnough = a * 1e4 + b * 100 + c >= major * 1e4 + minor * 100 + patch;
        const wholeMajor = operator === '^' && major > 0;
        const wholeMinor = operator === '~' || minor > 0;
        return isNewEnough && a === major && (wholeMajor || (b === minor && (wholeMinor || c === patch)));
      });
      const newest = inRange.map(textOf).sort((a, b) => rank(b) - rank(a))[0];
      expect(chooseOsVersion(`${operator}${major}.${minor}.${patch}`, texts)).toBe(newest);
    }),
  );
});
