// Files of sections and settings where both may stand repeatedly: systemd.syntax(7), connman's settings (GKeyFile).

export interface IniSection {
  readonly name: string;
  readonly settings: readonly (readonly [key: string, value: string])[];
}

/** Sections in their order, repeated ones apart. Lines that are neither are passed over, as the programs do. */
export function parseIni(text: string): IniSection[] {
  const sections: { name: string; settings: [string, string][] }[] = [];
  for (const raw of text.replace(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    const header = /^\[([^\]]+)\]$/.exec(line)?.[1];
    const equals = line.indexOf('=');
    if (header !== undefined) sections.push({ name: header, settings: [] });
    else if (equals > 0) sections.at(-1)?.settings.push([line.slice(0, equals).trim(), line.slice(equals + 1).trim()]);
  }
  return sections;
}

/** All values of a setting over the given sections, in order. */
export function valuesOf(sections: readonly IniSection[], section: string, key: string): string[] {
  return sections
    .filter(({ name }) => name === section)
    .flatMap(({ settings }) => settings.filter(([name]) => name === key).map(([, value]) => value));
}

/** The value that counts: the last one. */
export function lastValueOf(sections: readonly IniSection[], section: string, key: string): string | undefined {
  return valuesOf(sections, section, key).at(-1);
}
