// What `getfattr --encoding=hex` says: getfattr(1), and quote.c of the attr package for the escapes.
import type { ExtendedAttribute } from '../disk/file-tree.ts';
import { MigrateError } from '../error.ts';

/** Extended attributes by the path that they were asked for with, sorted by name; files without any are not in it. */
export function parseFileAttributes(text: string): ReadonlyMap<string, readonly ExtendedAttribute[]> {
  const files = new Map<string, ExtendedAttribute[]>();
  let current: ExtendedAttribute[] | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, path] = /^# file: (.*)$/.exec(line) ?? [];
    if (path !== undefined) {
      current = [];
      files.set(unescaped(path), current);
      continue;
    }
    // A value of no bytes is shown without "=".
    const [, name, digits = ''] = /^([^=]+?)(?:=0x((?:[0-9a-f]{2})*))?$/.exec(line) ?? [];
    if (name === undefined || current === undefined)
      throw new MigrateError('invalid-input', 'getfattr said something that is not understood');
    current.push({ name: unescaped(name), value: Buffer.from(digits, 'hex') });
  }
  for (const attributes of files.values()) attributes.sort((a, b) => (a.name < b.name ? -1 : 1));
  return files;
}

/** "\012" for a byte; the bytes of one character may each be escaped. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(text).toString('latin1');
  const plain = bytes.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return Buffer.from(plain, 'latin1').toString();
}
