// uEnv.txt, as `env import -t` of U-Boot reads it (lib/hashtable.c, himport_r). Every byte is kept, so that printing gives back
// what was read.

/** What an entry says to U-Boot. */
export type EntryMeaning =
  | { readonly kind: 'blank' }
  | { readonly kind: 'comment' }
  /** The last one of a name counts. A backslash in the value stands for the character after it, which may be a line end. */
  | { readonly kind: 'variable'; readonly name: string; readonly value: string }
  /** `name` and `name=` delete the variable. */
  | { readonly kind: 'deletion'; readonly name: string }
  /** A value without a name, or a zero byte: U-Boot reads nothing from there on. */
  | { readonly kind: 'end' };

export interface UenvEntry {
  /** The entry as it stands, with its line end if it has one; one character for each byte (latin1). */
  readonly raw: string;
  readonly meaning: EntryMeaning;
}

export type UenvTxt = readonly UenvEntry[];

/** Never fails. */
export function parseUenvTxt(bytes: Uint8Array): UenvTxt {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const entries: UenvEntry[] = [];
  for (let position = 0; position < text.length; ) {
    const rest = text.slice(position);
    const [entry, sizeBytes] = readEntry(rest);
    entries.push({ raw: rest.slice(0, sizeBytes), meaning: entry });
    position += sizeBytes;
  }
  return entries;
}

/** The bytes of a uEnv.txt; the inverse of `parseUenvTxt`. */
export function printUenvTxt(entries: UenvTxt): Uint8Array {
  return Buffer.from(entries.map(({ raw }) => raw).join(''), 'latin1');
}

/** The variables that an import sets, and those that it deletes as undefined. */
export function evaluateUenv(entries: UenvTxt): ReadonlyMap<string, string | undefined> {
  const variables = new Map<string, string | undefined>();
  for (const { meaning } of entries) {
    if (meaning.kind === 'end') break;
    if (meaning.kind === 'variable') variables.set(meaning.name, meaning.value);
    if (meaning.kind === 'deletion') variables.set(meaning.name, undefined);
  }
  return variables;
}

/** The meaning of the first entry, and how many characters it takes. */
function readEntry(text: string): readonly [EntryMeaning, number] {
  const line = /^[^\n]*\n?/.exec(text)?.[0] ?? '';
  // A carriage return is no blank to U-Boot, which makes a variable of it; such a line says nothing to anyone.
  if (/^[ \t\r]*\n?$/.test(line)) return [{ kind: 'blank' }, line.length];
  if (/^[ \t]*#/.test(line)) return [{ kind: 'comment' }, line.length];
  const lead = /^[ \t]*/.exec(text)?.[0].length ?? 0;
  const name = /^[^=\n\0]*/.exec(text.slice(lead))?.[0] ?? '';
  const after = lead + name.length;
  if (text[after] === '\0' || (text[after] === '=' && name === '')) return [{ kind: 'end' }, text.length];
  if (text[after] !== '=') return [{ kind: 'deletion', name }, Math.min(after + 1, text.length)];
  let value = '';
  let position = after + 1;
  for (; position < text.length && text[position] !== '\n' && text[position] !== '\0'; position += 1) {
    if (text[position] === '\\' && position + 1 < text.length && text[position + 1] !== '\0') position += 1;
    value += text[position];
  }
  const ends = text[position] === '\n' ? position + 1 : position;
  return [value === '' ? { kind: 'deletion', name } : { kind: 'variable', name, value }, ends];
}
