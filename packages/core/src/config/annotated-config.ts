// Writes balena-migrate.yml with a comment before each setting, out of the schema: a sample cannot name what does not exist.
import { stringify } from 'yaml';
import { configSchema, type SettingSchema } from './config-schema.ts';
import { inlineYaml } from './setting-words.ts';

/** Settings as they stand in the file: sections are objects. */
export type SettingValues = Readonly<Record<string, unknown>>;

export interface AnnotatedConfigOptions {
  readonly values: SettingValues;
  /** What becomes of all other settings: an example in a comment, or nothing. Those without effect are always left out. */
  readonly others: 'commented' | 'omitted';
}

const lineWidth = 110;

/**
 * The settings in `values`, which must fit the schema, as YAML in the order of the schema. A setting in a comment stands behind
 * "#" without a blank, so that removing the "#" puts it into force with its right indentation; prose stands behind "# ".
 */
export function annotatedConfig({ values, others }: AnnotatedConfigOptions): string {
  return `${sectionLines(configSchema, values, { indent: '', others }).join('\n').trim()}\n`;
}

interface Place {
  readonly indent: string;
  readonly others: AnnotatedConfigOptions['others'];
}

function sectionLines(section: SettingSchema, values: SettingValues, place: Place): string[] {
  return Object.entries(section.properties ?? {}).flatMap(([key, schema]) => {
    const value = values[key];
    const isGiven = value !== undefined && value !== null;
    if (!isGiven && (place.others === 'omitted' || schema['x-support'] === 'ignored')) return [];
    const isTop = place.indent === '';
    return [
      ...(isTop ? [''] : []),
      ...prose(schema, isGiven, place.indent),
      ...settingLines(key, schema, value, place),
    ];
  });
}

function settingLines(key: string, schema: SettingSchema, value: unknown, place: Place): string[] {
  const { indent, others } = place;
  const inner = { indent: `${indent}  `, others };
  if (schema.properties !== undefined && isSection(value)) {
    return [`${indent}${key}:`, ...sectionLines(schema, value, inner)];
  }
  if (value !== undefined && value !== null) return yamlLines({ [key]: value }).map((line) => `${indent}${line}`);
  // A section that is empty means its defaults; one that needs something cannot stand there empty.
  const mayBeEmpty = schema.properties !== undefined && schema.required === undefined && schema.examples === undefined;
  if (mayBeEmpty) return [`${indent}${key}:`, ...sectionLines(schema, {}, inner)];
  return yamlLines({ [key]: exampleOf(schema) }).map((line) => `${indent}#${line}`);
}

/** What the setting is for, wrapped; of one that is not in force also what counts instead. */
function prose(schema: SettingSchema, isGiven: boolean, indent: string): string[] {
  const isRefused = schema['x-support'] === 'refused';
  const tellsDefault = !isGiven && schema.default !== undefined && !Array.isArray(schema.default);
  const words = [
    schema.description ?? '',
    tellsDefault ? `Default: \`${inlineYaml(schema.default)}\`.` : '',
    isRefused ? 'This version refuses it.' : '',
  ];
  const lines: string[] = [];
  for (const word of words.join(' ').split(' ').filter(Boolean)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > lineWidth) lines.push(`${indent}# ${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** The schema's example, or one made of the examples of its parts: those a section requires, all of an item of a list. */
function exampleOf(schema: SettingSchema, isItem = false): unknown {
  const [example] = schema.examples ?? [];
  if (example !== undefined) return example;
  if (schema.items !== undefined) return [exampleOf(schema.items, true)];
  const { properties = {}, required } = schema;
  const keys = Object.keys(properties).filter((key) => isItem || (required ?? []).includes(key));
  return Object.fromEntries(keys.map((key) => [key, exampleOf(properties[key] ?? {}, isItem)]));
}

function yamlLines(value: unknown): string[] {
  return stringify(value, { lineWidth: 0 }).trimEnd().split('\n');
}

function isSection(value: unknown): value is SettingValues {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
