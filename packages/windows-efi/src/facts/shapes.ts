// PowerShell writes one thing in many shapes: a list of one as the thing itself (5.1 at a pipeline's end), an empty list as null, an
// enumeration as its number or its name, a boolean as "True". Here they become one.
import { MigrateError } from '@migrate/core';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

export type Scalar = null | boolean | number | string;

/** One, several, or none of something. */
export type Many<T> = T | readonly T[] | null;

export const scalar = { type: ['null', 'boolean', 'number', 'string'] } as const;

/** The schema of Many. */
export const many = <T extends object>(items: T) =>
  ({ anyOf: [{ type: 'array', items }, { type: 'null' }, items] }) as const;

/** Compiles at first use, as most runs see no Windows. */
export function shapeOf<T>(operation: string, schema: object): (value: unknown) => T {
  let validate: ValidateFunction<T> | undefined;
  return (value) => {
    validate ??= new Ajv2020({ allowUnionTypes: true, strict: true }).compile<T>(schema);
    if (validate(value)) return value;
    const [fault] = validate.errors ?? [];
    throw new MigrateError(
      'invalid-input',
      `${operation}: PowerShell's answer has another form than known: ${fault?.instancePath || 'it'} ${fault?.message ?? ''}`,
    );
  };
}

export function listOf<T>(value: Many<T> | undefined): readonly T[] {
  if (value === null || value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

/** A whole number that JSON numbers keep; undefined for null, empty text and anything else. */
export function wholeNumber(value: Scalar | undefined): number | undefined {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  if (!/^-?\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** A size in bytes that must be there. */
export function bytes(value: Scalar | undefined, what: string): number {
  const number = wholeNumber(value);
  if (number === undefined || number < 0)
    throw new MigrateError('invalid-input', `${what} is no size: ${String(value)}`);
  return number;
}

export function flag(value: Scalar | undefined): boolean {
  return value === true || wholeNumber(value) === 1 || (typeof value === 'string' && value.toLowerCase() === 'true');
}

/** Text without NULs and white space around it; undefined where nothing is left. */
export function plainText(value: Scalar | undefined): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const text = String(value).replaceAll('\0', '').trim();
  return text === '' ? undefined : text;
}

/** A GUID in lower case without braces; undefined for anything else, also for the one of zeros. */
export function guid(value: Scalar | undefined): string | undefined {
  const text = plainText(value)
    ?.replace(/^\{|\}$/g, '')
    .toLowerCase();
  if (text === undefined || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) return undefined;
  return /^[0-]+$/.test(text) ? undefined : text;
}

/** The name of an enumeration's value that was printed as number or name. */
export function named<T extends string>(value: Scalar | undefined, names: Readonly<Record<string, T>>): T | undefined {
  const text = plainText(value);
  if (text === undefined) return undefined;
  const entry = Object.entries(names).find(([key]) => key.toLowerCase() === text.toLowerCase());
  return entry?.[1];
}

/** Leaves out what is undefined, as exactOptionalPropertyTypes wants. */
export function known<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
