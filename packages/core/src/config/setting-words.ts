// How settings and their values are spoken of, in messages and in the reference.
import type { SettingSchema } from './config-schema.ts';
import { patternMeanings } from './config-schema-values.ts';

const kindWords: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a section',
};

/** "text", "a list", "text or a section": the types that a setting may have; `null` is left out. */
export function kindsOf({ type }: SettingSchema): string {
  const types = typeof type === 'string' ? [type] : (type ?? []);
  return orList(types.filter((name) => name !== 'null').map((name) => kindWords[name] ?? name));
}

/** What a value must be, in the words after "must be". */
export function expectationOf(schema: SettingSchema): string {
  if (schema.enum !== undefined) return orList(schema.enum.filter((value) => value !== null).map(String));
  if (schema.pattern !== undefined) return patternMeanings[schema.pattern] ?? kindsOf(schema);
  const { minimum, maximum } = schema;
  if (minimum !== undefined && maximum !== undefined) return `a whole number from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `a whole number of at least ${minimum}`;
  return kindsOf(schema);
}

/** A value as it would stand in the file, on one line. */
export function inlineYaml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inlineYaml).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, part]) => `${key}: ${inlineYaml(part)}`);
    return `{ ${entries.join(', ')} }`;
  }
  return value === '' ? "''" : String(value);
}

export function orList(words: readonly string[]): string {
  return joined(words, 'or');
}

export function andList(words: readonly string[]): string {
  return joined(words, 'and');
}

function joined(words: readonly string[], last: string): string {
  if (words.length <= 1) return words.join('');
  return `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
}
