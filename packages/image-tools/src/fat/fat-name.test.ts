import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFatDirectory } from './fat-directory.ts';
import { checkFatName, fatName } from './fat-name.ts';

/** Writes names one after the other and gives what is read. */
function writeAndRead(names: readonly string[]) {
  const taken = new Set<string>();
  const entries = names.flatMap((name) => {
    const { short, longEntries } = fatName(name, taken);
    taken.add(short.toString('latin1'));
    return [...longEntries, Buffer.concat([short, Buffer.alloc(21)])];
  });
  const bytes = Buffer.concat(entries);
  return parseFatDirectory({ bytes, clusters: [], placeOf: (offset) => offset }, 'FAT16').entries;
}

function isName(name: string): boolean {
  try {
    checkFatName(name);
    return true;
  } catch {
    return false;
  }
}

const anyName = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 255 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 }),
  fc.stringMatching(/^[A-Za-z. ~1_-]{1,14}$/),
);

describe('fatName', () => {
  it('gives names that are read as they were, each with a short one of its own', () => {
    const names = fc.uniqueArray(anyName.filter(isName), { selector: (name) => name.toLowerCase(), maxLength: 20 });
    fc.assert(
      fc.property(names, (list) => {
        const entries = writeAndRead(list);
        expect(entries.map(({ text }) => text)).toEqual(list);
        const shortNames = entries.map(({ shortName }) => shortName);
        expect(new Set(shortNames).size).toBe(list.length);
        for (const shortName of shortNames)
          expect(shortName).toMatch(/^[A-Z0-9$%'\-_@~`!(){}^#&]{1,8}(\.[A-Z0-9$%'\-_@~`!(){}^#&]{1,3})?$/);
      }),
    );
  });

  it.each([
    ['config.json', 'CONFIG~1.JSO'],
    ['UPPER.TXT', 'UPPER.TXT'],
    ['lower.txt', 'LOWER.TXT'],
    ['.hidden', 'HIDDEN~1'],
    ['two.dots.txt', 'TWODOT~1.TXT'],
    ['Grüße', 'GR__E~1'],
    ['日本', '__~1'],
  ])('shortens %s as other systems do', (name, shortName) => {
    expect(writeAndRead([name])[0]?.shortName).toBe(shortName);
  });

  it('counts on where a short name is taken', () => {
    const names = Array.from({ length: 120 }, (_, index) => `connection number ${index}.nmconnection`);
    const shortNames = writeAndRead(names).map(({ shortName }) => shortName);
    expect([shortNames[0], shortNames[9], shortNames[99]]).toEqual(['CONNEC~1.NMC', 'CONNE~10.NMC', 'CONN~100.NMC']);
  });
});
