// Names as they are written: long entries and the short name behind them. "Microsoft FAT Specification" (2005), section 7.
import { MigrateError } from '@migrate/core';
import { attributeLongName, directoryEntryBytes, shortNameChecksum } from './fat-directory.ts';

const unitsPerEntry = 13;
const maximumUnits = 255;
/** Where the 13 UTF-16 units of a long entry stand in it. */
const unitOffsets = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/** Besides letters and digits (section 6.1); space is left out, as many programs stumble over it. */
const shortCharacter = /[A-Z0-9$%'\-_@~`!(){}^#&]/;

/** Throws `invalid-input` for what cannot be a name on FAT (section 7.2 and what Linux refuses). */
export function checkFatName(name: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they cannot be in a name on FAT
  const isForbidden = /["*/:<>?\\|\u0000-\u001f\u007f]|\p{Surrogate}|[. ]$/u.test(name);
  if (name === '' || name.length > maximumUnits || isForbidden) {
    throw new MigrateError('invalid-input', `${JSON.stringify(name)} cannot be a name on a FAT file system`);
  }
}

export interface FatName {
  /** Base and extension, 11 bytes padded with spaces. */
  readonly short: Buffer;
  /** Entries that must stand right before the short one, in the order in which they lie; none for upper-case 8.3 names. */
  readonly longEntries: readonly Buffer[];
}

/** `taken`: short names of the directory as they lie on disk, of 11 characters, which the new one must differ from. */
export function fatName(name: string, taken: ReadonlySet<string>): FatName {
  const { base, extension, isExact } = shortParts(name);
  const plain = padded(base.slice(0, 8), extension);
  const isFree = !taken.has(plain);
  if (isExact && isFree && name === upperCase(name)) return { short: Buffer.from(plain, 'latin1'), longEntries: [] };
  const short = Buffer.from(isExact && isFree ? plain : withTail(base, extension, taken), 'latin1');
  return { short, longEntries: longEntries(name, shortNameChecksum(short)) };
}

/** The basis of a short name; `isExact` where it says all of the name but its case. */
function shortParts(name: string): { base: string; extension: string; isExact: boolean } {
  const dot = name.lastIndexOf('.');
  const hasExtension = dot > 0;
  const [longBase, longExtension] = hasExtension ? [name.slice(0, dot), name.slice(dot + 1)] : [name, ''];
  const [base, extension] = [shortened(longBase), shortened(longExtension).slice(0, 3)];
  const isExact =
    base.length <= 8 &&
    base === upperCase(longBase) &&
    extension === upperCase(longExtension) &&
    hasExtension === (extension !== '');
  return { base: base === '' ? '_' : base, extension, isExact };
}

function shortened(text: string): string {
  const characters = [...upperCase(text)].filter((character) => character !== ' ' && character !== '.');
  return characters.map((character) => (shortCharacter.test(character) ? character : '_')).join('');
}

/** Of ASCII only: all else is replaced anyway, and may have several characters in upper case. */
function upperCase(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

function padded(base: string, extension: string): string {
  return base.padEnd(8) + extension.padEnd(3);
}

/** "CONFIG~1JSO": the first number that no other entry has. A directory has fewer entries than there are numbers. */
function withTail(base: string, extension: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) {
    const tail = `~${number}`;
    const short = padded(base.slice(0, 8 - tail.length) + tail, extension);
    if (!taken.has(short)) return short;
  }
}

function longEntries(name: string, checksum: number): Buffer[] {
  const count = Math.ceil(name.length / unitsPerEntry);
  return Array.from({ length: count }, (_, index) => {
    const number = count - index;
    const entry = Buffer.alloc(directoryEntryBytes);
    entry[0] = number | (index === 0 ? 0x40 : 0);
    entry[11] = attributeLongName;
    entry[13] = checksum;
    unitOffsets.forEach((offset, place) => {
      const unit = (number - 1) * unitsPerEntry + place;
      // A zero ends the name; behind it stands 0xFFFF.
      entry.writeUInt16LE(unit < name.length ? name.charCodeAt(unit) : unit === name.length ? 0 : 0xffff, offset);
    });
    return entry;
  });
}
