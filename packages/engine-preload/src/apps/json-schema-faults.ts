// Turns what the schema checker finds in a JSON file into sentences with places in it.
import { joinPath, nearKey, quoted } from '@migrate/core';
import type { ErrorObject } from 'ajv/dist/2020.js';

/** Something wrong at one place of a file. */
export interface PlacedFault {
  readonly code: string;
  /** Keys from the top, joined by dots; empty for the whole. */
  readonly path: string;
  readonly message: string;
  readonly hint: string;
}

export interface WeighedFault extends PlacedFault {
  readonly severity: 'error' | 'warning';
}

type Schema = { readonly [key: string]: unknown };

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list, [ … ]',
  object: 'an object, { … }',
};

/** One fault for each thing that a person would correct. `meanings`: what a pattern asks for. Values are never shown. */
export function jsonSchemaFaults(
  errors: readonly ErrorObject[],
  meanings: Readonly<Record<string, string>>,
): readonly PlacedFault[] {
  // A name that fits no pattern is reported a second time as a whole.
  return errors.filter(({ keyword }) => keyword !== 'propertyNames').map((error) => faultOf(error, meanings));
}

function faultOf(error: ErrorObject, meanings: Readonly<Record<string, string>>): PlacedFault {
  const schema = (error.parentSchema ?? {}) as Schema;
  const path = pathOf(error.instancePath);
  if (error.propertyName !== undefined) return nameFault(path, error, meanings);
  switch (error.keyword) {
    case 'required':
      return missing(path, String(error.params.missingProperty), error.data);
    case 'minProperties':
      return { code: 'empty', path, message: 'must have at least one entry', hint: 'Add one, or remove what holds it' };
    case 'type': {
      const message = `must be ${wanted(schema)}, not ${kindOf(error.data)}`;
      return { code: 'type', path, message, hint: typeHint(schema, error.data) };
    }
    case 'maxLength':
      return { code: 'value', path, message: `must have at most ${error.params.limit} characters`, hint: 'Shorten it' };
    default:
      return { code: 'value', path, message: `must be ${meaningOf(error, schema, meanings)}`, hint: 'Correct it' };
  }
}

function nameFault(path: string, error: ErrorObject, meanings: Readonly<Record<string, string>>): PlacedFault {
  const name = error.propertyName ?? '';
  const wantedName = error.keyword === 'pattern' ? meanings[String(error.params.pattern)] : 'at most 255 characters';
  return {
    code: 'name',
    path: joinPath(path, name),
    message: `the name ${quoted(name)} must be ${wantedName ?? 'another one'}`,
    hint: 'Rename it, here and wherever it is used',
  };
}

function missing(path: string, key: string, data: unknown): PlacedFault {
  const names = typeof data === 'object' && data !== null ? Object.keys(data) : [];
  const meant = nearKey(key, names);
  const hint =
    meant === undefined ? 'Add it; the target state of the device has it' : `Is ${quoted(meant)} meant for it?`;
  return { code: 'missing', path: joinPath(path, key), message: `${key} is missing`, hint };
}

function wanted({ type }: Schema): string {
  const names = [type]
    .flat()
    .filter((name) => name !== 'null')
    .map((name) => kinds[String(name)]);
  return names.join(' or ');
}

function typeHint({ type }: Schema, data: unknown): string {
  const isText = [type].flat().includes('string');
  if (isText && (typeof data === 'number' || typeof data === 'boolean')) return 'Put it in double quotes';
  if (data === null && type === 'object') return 'Write {} for an empty one';
  return 'Correct it';
}

function meaningOf(
  { params, keyword }: ErrorObject,
  { enum: choices, minimum, maximum }: Schema,
  meanings: Readonly<Record<string, string>>,
) {
  if (keyword === 'pattern') return meanings[String(params.pattern)] ?? 'of another form';
  if (Array.isArray(choices)) return choices.filter((choice) => choice !== null).join(' or ');
  return `from ${minimum} to ${maximum}`;
}

function kindOf(data: unknown): string {
  if (data === null) return 'null';
  if (Array.isArray(data)) return 'a list';
  return typeof data === 'object' ? 'an object' : typeof data === 'string' ? 'text' : `a ${typeof data}`;
}

/** `/apps/a~1b/id` (RFC 6901) as keys joined by dots. */
function pathOf(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, key) => joinPath(path, key), '');
}
