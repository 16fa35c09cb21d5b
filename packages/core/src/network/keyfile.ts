// NetworkManager's keyfiles: nm-settings-keyfile(5) and the format of GLib's GKeyFile.

/** One section of a keyfile and its settings, in order. Values are as they stand in the file: see escapeValue. */
export interface KeyfileSection {
  readonly name: string;
  readonly settings: readonly (readonly [key: string, value: string])[];
}

/** Text of a keyfile; sections without settings are left out. */
export function printKeyfile(sections: readonly KeyfileSection[]): string {
  return sections
    .filter(({ settings }) => settings.length > 0)
    .map(({ name, settings }) => [`[${name}]`, ...settings.map(([key, value]) => `${key}=${value}`), ''].join('\n'))
    .join('\n');
}

/**
 * Sections of a keyfile. Undefined for text that is none. Where a key stands twice, the last one counts, as
 * in GLib.
 */
export function parseKeyfile(text: string): KeyfileSection[] | undefined {
  const sections = new Map<string, Map<string, string>>();
  let current: Map<string, string> | undefined;
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trimStart();
    if (line === '' || line.startsWith('#')) continue;
    const header = /^\[([^[\]]+)\]\s*$/.exec(line)?.[1];
    const equals = line.indexOf('=');
    if (header !== undefined) {
      current = sections.get(header) ?? new Map<string, string>();
      sections.set(header, current);
    } else if (equals > 0 && current !== undefined) {
      current.set(line.slice(0, equals).trimEnd(), line.slice(equals + 1).trimStart());
    } else return undefined;
  }
  return [...sections].map(([name, settings]) => ({ name, settings: [...settings] }));
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r' };

/** A text as a value. Blanks are escaped only at the ends, where they would be cut. */
export function escapeValue(value: string): string {
  return value
    .replace(/[\\\n\t\r]/g, (character) => escapes[character] ?? character)
    .replace(/^ /, '\\s')
    .replace(/ $/, '\\s');
}

const unescapes: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', t: '\t', r: '\r', s: ' ' };

/** The text that a value stands for. Unknown escapes stay as they are: "\;" in lists is for whoever splits the list. */
export function plainValue(value: string): string {
  return value.replace(/\\(.)/gs, (whole, character: string) => unescapes[character] ?? whole);
}

/**
 * An SSID as NetworkManager reads it back to the byte: text where nothing about it could be misread, else the list of its
 * bytes, which is always understood.
 */
export function ssidValue(ssid: Uint8Array): string {
  const text = Buffer.from(ssid).toString('latin1');
  const isPlain = /^[A-Za-z0-9_.-](?:[A-Za-z0-9_. -]*[A-Za-z0-9_.-])?$/.test(text) && /[^0-9 ]/.test(text);
  return isPlain ? text : `${[...ssid].join(';')};`;
}

/** The bytes of an `ssid` setting, of which `value` is the plain text, in either form. */
export function parseSsidValue(value: string): Uint8Array {
  if (/^(?:\s*\d{1,3}\s*;)*\s*\d{1,3}\s*;?\s*$/.test(value) && value.includes(';')) {
    const bytes = value
      .split(';')
      .filter((part) => part.trim() !== '')
      .map(Number);
    if (bytes.every((byte) => byte <= 255)) return Uint8Array.from(bytes);
  }
  return Buffer.from(value.replaceAll('\\;', ';'));
}
