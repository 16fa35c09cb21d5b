// JSON from outside: parsed once, with a place in every complaint.
import { MigrateError } from '@migrate/core';

export type JsonObject = ReadonlyMap<string, unknown>;

/** Parses UTF-8 JSON; `where` names the file. Throws `invalid-input`. */
export function parseJson(bytes: Uint8Array, where: string): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new MigrateError('invalid-input', `${where} is not UTF-8 text`);
  }
  try {
    return JSON.parse(text);
  } catch (thrown) {
    // Node's message may quote the text; its position is all that is kept of it.
    const [, position] = /position (\d+)/.exec(String(thrown)) ?? [];
    const place = position === undefined ? '' : ` at byte ${position}`;
    throw new MigrateError('invalid-input', `${where} is not valid JSON${place}`);
  }
}

/** An object as a map, so that names like "__proto__" are only names. */
export function asObject(value: unknown, where: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MigrateError('invalid-input', `${where} must be an object`);
  }
  return new Map(Object.entries(value));
}

export function asArray(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new MigrateError('invalid-input', `${where} must be a list`);
  return value;
}

export function asString(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new MigrateError('invalid-input', `${where} must be text`);
  return value;
}

/** A whole number from 0 that JavaScript holds exactly. */
export function asCount(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new MigrateError('invalid-input', `${where} must be a whole number from 0`);
  }
  return value;
}
