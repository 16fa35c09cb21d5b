// Turns what the schema checker finds into sentences with places in the file.
import type { ErrorObject } from 'ajv/dist/2020.js';
import { configSchema, type SettingSchema } from './config-schema.ts';
import { nearKey } from './near-key.ts';
import { quoted } from './quoted.ts';
import { andList, expectationOf, inlineYaml, kindsOf, orList } from './setting-words.ts';
import type { YamlFault } from './yaml-syntax.ts';
import { joinPath, type Place } from './yaml-values.ts';

/** Names that stand in more places than this say nothing about where one belongs. */
const tellingPlaces = 2;

/**
 * One fault for each thing that a person would correct, the first `limit` of the file; errors must come from a checker with
 * `verbose`.
 */
export function schemaFaults(errors: readonly ErrorObject[], root: Place, limit: number): readonly YamlFault[] {
  const wrongType = new Set(errors.filter((error) => error.keyword === 'type').map((error) => error.instancePath));
  return errors
    .filter(({ keyword, instancePath }) => !isAboutValue(keyword) || !wrongType.has(instancePath))
    .map((error) => ({ error, spot: spotOf(error, root) }))
    .sort((a, b) => a.spot.offset - b.spot.offset)
    .slice(0, limit)
    .map(({ error, spot }) => faultOf(error, spot));
}

function isAboutValue(keyword: string): boolean {
  return ['enum', 'pattern', 'minimum', 'maximum'].includes(keyword);
}

interface Spot {
  readonly offset: number;
  readonly path: string;
  /** The last key of the path, "-" for an item of a list. */
  readonly key: string;
}

function faultOf(error: ErrorObject, spot: Spot): YamlFault {
  const schema = (error.parentSchema ?? {}) as SettingSchema;
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownSetting(spot, schema);
    case 'required':
      return missingSetting(spot, String(error.params.missingProperty), schema);
    case 'not':
      return fault(
        spot,
        'conflict',
        `only one of ${andList(imageKinds.filter((kind) => isGiven(error.data, kind)))} can be given`,
        'Keep one: dd writes a whole image, fs unpacks archives, download gets an image from the balena API',
      );
    case 'minProperties':
    case 'maxProperties': {
      const names = Object.keys(schema.properties ?? {});
      return fault(
        spot,
        'value',
        `must have exactly one of ${orList(names)}`,
        'Keep the sha256, or make one with sha256sum',
      );
    }
    case 'minItems':
      return fault(spot, 'value', 'must have at least one item', 'Write each item on a line of its own, as "- value"');
    case 'type':
      return wrongType(spot, error.data, schema);
    default:
      return wrongValue(spot, error.data, schema);
  }
}

const imageKinds = ['dd', 'fs', 'download'];

function isGiven(image: unknown, kind: string): boolean {
  const value = (image as Readonly<Record<string, unknown>>)[kind];
  return value !== null && value !== undefined;
}

function wrongType(spot: Spot, data: unknown, schema: SettingSchema): YamlFault {
  if (data === null || data === undefined) {
    return fault(spot, 'missing', 'has no value', exampleHint(spot.key, schema));
  }
  const wanted = schema.enum === undefined ? kindsOf(schema) : expectationOf(schema);
  // What should have been text may be a secret without its quotes, and a file without settings anything at all.
  const isShown = wanted !== 'text' && spot.path !== '' && typeof data !== 'object';
  const found = isShown ? shownWithKind(data) : kindOf(data);
  return fault(spot, 'type', `must be ${wanted}, not ${found}`, typeHint(spot, data, schema));
}

function typeHint(spot: Spot, data: unknown, schema: SettingSchema): string {
  const types = [schema.type].flat();
  if (types.includes('string') && typeof data !== 'object') return 'Put it in quotes';
  if (types.includes('boolean') && typeof data === 'string') {
    return /^(yes|no|on|off|true|false)$/i.test(data)
      ? 'Write true or false, in small letters and without quotes'
      : exampleHint(spot.key, schema);
  }
  if (types.includes('integer') && typeof data === 'string' && /^\d+$/.test(data)) return 'Write it without quotes';
  if (types.includes('array')) return 'Write each item on a line of its own, as "- value"';
  return exampleHint(spot.key, schema);
}

function wrongValue(spot: Spot, data: unknown, schema: SettingSchema): YamlFault {
  const wanted = `must be ${expectationOf(schema)}`;
  if (typeof data === 'string' && expectationOf(schema).endsWith('digits')) {
    return fault(spot, 'value', `${wanted}, not ${data.length} characters`, 'Copy the whole hash, without blanks');
  }
  const choices = (schema.enum ?? []).filter((value) => typeof value === 'string');
  const meant = typeof data === 'string' ? nearKey(data, choices) : undefined;
  const hint = meant === undefined ? exampleHint(spot.key, schema) : `Did you mean ${meant}?`;
  return fault(spot, 'value', data === '' ? 'must not be empty' : `${wanted}, not ${shown(data)}`, hint);
}

function missingSetting(spot: Spot, missing: string, schema: SettingSchema): YamlFault {
  const hint = exampleHint(missing, schema.properties?.[missing] ?? {});
  return fault({ ...spot, path: joinPath(spot.path, missing) }, 'missing', `${missing} is missing`, hint);
}

function unknownSetting(spot: Spot, { properties = {} }: SettingSchema): YamlFault {
  const hint = hintForUnknown(spot.key, Object.keys(properties));
  return fault(spot, 'unknown-setting', `there is no setting ${quoted(spot.key)} here`, hint);
}

function hintForUnknown(key: string, siblings: readonly string[]): string {
  const belongs = placesOf(key);
  if (belongs.includes('')) return 'It belongs at the top level, without indentation';
  if (belongs.length > 0) return `It belongs under ${orList(belongs)}`;
  const sibling = nearKey(key, siblings);
  if (sibling !== undefined) return `Did you mean ${sibling}?`;
  const farNames = [...settingPlaces.keys()].filter((name) => placesOf(name).length > 0);
  const far = nearKey(key, farNames, Math.floor(key.length / 6));
  if (far !== undefined) return `Did you mean ${orList(placesOf(far).map((place) => joinPath(place, far)))}?`;
  return `Remove it; known here: ${siblings.join(', ')}`;
}

/** Sections in which a setting of this name stands, if they are few. */
function placesOf(name: string): readonly string[] {
  const places = settingPlaces.get(name) ?? [];
  return places.length <= tellingPlaces ? places : [];
}

const settingPlaces: ReadonlyMap<string, readonly string[]> = collectPlaces(configSchema, '', new Map());

function collectPlaces(schema: SettingSchema, path: string, found: Map<string, string[]>): Map<string, string[]> {
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    found.set(key, [...(found.get(key) ?? []), path]);
    collectPlaces(child, joinPath(path, key), found);
  }
  if (schema.items !== undefined) collectPlaces(schema.items, path, found);
  return found;
}

/** Follows the error's JSON pointer (RFC 6901) to where the value, or the key that is too much, stands in the file. */
function spotOf({ instancePath, keyword, params }: ErrorObject, root: Place): Spot {
  let place: Place | undefined = root;
  let [path, key] = ['', ''];
  const parts = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (keyword === 'additionalProperties') parts.push(String(params.additionalProperty));
  for (const name of parts) {
    const isItem: boolean = place?.items !== undefined;
    path = isItem ? `${path}[${name}]` : joinPath(path, name);
    key = isItem ? '-' : name;
    place = isItem ? place?.items?.[Number(name)] : place?.keys?.get(name);
  }
  return { offset: place?.offset ?? root.offset, path, key };
}

function exampleHint(key: string, schema: SettingSchema): string {
  const example = schema.examples?.[0] ?? schema.default;
  if (example !== undefined && key !== '') {
    return `For example "${key}${key === '-' ? '' : ':'} ${inlineYaml(example)}"`;
  }
  const names = Object.keys(schema.properties ?? {});
  return names.length > 0 ? `Settings there: ${names.join(', ')}` : 'Correct or remove it';
}

function kindOf(data: unknown): string {
  if (Array.isArray(data)) return 'a list';
  if (typeof data === 'string') return 'text';
  return typeof data === 'object' ? 'a section' : `a ${typeof data}`;
}

function shownWithKind(data: unknown): string {
  if (typeof data === 'boolean') return String(data);
  return `the ${typeof data === 'string' ? 'text' : typeof data} ${shown(data)}`;
}

function shown(data: unknown): string {
  if (typeof data === 'string') return quoted(data);
  return typeof data === 'object' ? kindOf(data) : String(data);
}

function fault(
  { offset, path }: { offset: number; path: string },
  code: string,
  message: string,
  hint: string,
): YamlFault {
  return { code, offset, path, message, hint };
}
