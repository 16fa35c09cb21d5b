// GRUB's environment block: a file of fixed size that GRUB itself can overwrite in place at boot
// (grub/include/grub/lib/envblk.h: signature, NAME=VALUE lines, padded with '#').
import { MigrateError } from '../error.ts';

const signature = '# GRUB Environment Block\n';
/** As grub-editenv makes it (util/grub-editenv.c, DEFAULT_ENVBLK_SIZE); padded, so that GRUB has room. */
export const emptyGrubEnvironment = signature.padEnd(1024, '#');

/** Reads the variables of an environment block. Throws `invalid-input` where it is none. */
export function parseGrubEnvironment(block: string, path: string): ReadonlyMap<string, string> {
  if (!block.startsWith(signature)) {
    throw new MigrateError(
      'invalid-input',
      `${path} is no GRUB environment block; grub-editenv ${path} create makes one`,
    );
  }
  const variables = new Map<string, string>();
  for (const line of splitLines(block.slice(signature.length))) {
    const equals = line.indexOf('=');
    if (line.startsWith('#') || equals < 1) continue;
    variables.set(line.slice(0, equals), line.slice(equals + 1).replace(/\\(.)/gs, '$1'));
  }
  return variables;
}

/** The block with one variable set, or removed where `value` is undefined; the size stays as it is. */
export function setGrubVariable(
  block: string,
  name: string,
  { value, path }: { value: string | undefined; path: string },
): string {
  parseGrubEnvironment(block, path);
  const kept = splitLines(block.slice(signature.length)).filter(
    (line) => !line.startsWith('#') && line !== '' && !line.startsWith(`${name}=`),
  );
  if (value !== undefined) kept.push(`${name}=${value.replace(/[\\\n]/g, '\\$&')}`);
  const text = signature + kept.map((line) => `${line}\n`).join('');
  if (text.length > block.length) throw new MigrateError('no-space', `${path} has no room for ${name}`);
  return text.padEnd(block.length, '#');
}

/** A newline inside a value is escaped by a backslash, so it does not end the line. */
function splitLines(text: string): string[] {
  return text.match(/(?:\\.|[^\\\n])+/gs) ?? [];
}
