import { createInterface } from 'node:readline/promises';
import { type Host, MigrateError } from '@migrate/core';
import type { WritingOptions } from './command-options.ts';

/** Asks once for all files that would be overwritten. Throws `unsupported` where the answer is no, or nobody can be asked. */
export async function confirmOverwriting(host: Host, paths: readonly string[], options: WritingOptions): Promise<void> {
  const there: string[] = [];
  for (const path of paths) {
    const status = await host.status(path);
    if (status !== undefined && status.kind !== 'file') throw refused(`${path} is there and is no file`);
    if (status !== undefined) there.push(path);
  }
  if (there.length === 0 || options.yes === true) return;
  const list = there.join(', ');
  if (!process.stdin.isTTY) throw refused(`${list} would be overwritten: remove them, or use --yes`);
  const readline = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await readline.question(`Overwrite ${list}? Type "yes" to go on: `);
    if (answer.trim() !== 'yes') throw refused('not confirmed, nothing was changed');
  } finally {
    readline.close();
  }
}

function refused(why: string): MigrateError {
  return new MigrateError('unsupported', why);
}
