// Ids for an app that no fleet knows of. They are made of names and contents, so that the same input gives the same apps.json,
// and a changed one another release.
import { createHash } from 'node:crypto';

/** Database ids of balenaCloud and openBalena are positive and fit into 31 bits. */
const idLimit = 2 ** 31 - 1;

function digestOf(parts: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}

/** 32 hexadecimal digits, as uuids of apps and releases have. Never digits alone: the supervisor takes those for a number. */
export function derivedUuid(...parts: readonly string[]): string {
  const uuid = digestOf(parts).toString('hex').slice(0, 32);
  return /[a-f]/.test(uuid.slice(0, 8)) ? uuid : `a${uuid.slice(1)}`;
}

/** A whole number from 1 to 2^31 - 1. */
export function derivedId(...parts: readonly string[]): number {
  return (digestOf(parts).readUIntBE(0, 6) % idLimit) + 1;
}
