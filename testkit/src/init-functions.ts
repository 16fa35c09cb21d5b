// Functions of init.sh, run by busybox on this machine: what they need of a real stage 2 is given by functions of the test.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { init } from './stage2-machine.ts';

const run = promisify(execFile);

/** Runs a script that follows the named functions of init.sh, and gives what it printed. Throws where it ends with an error. */
export async function runInitFunctions(
  names: readonly string[],
  script: string,
  args: readonly string[] = [],
): Promise<string> {
  const source = await readFile(init, 'utf8');
  const bodies = names.map((name) => {
    const body = new RegExp(`^${name}\\(\\) \\{\\n[\\s\\S]*?^\\}\\n`, 'm').exec(source)?.[0];
    if (body === undefined) throw new Error(`init.sh has no ${name}`);
    return body;
  });
  const text = ['set -eu', ...bodies, script].join('\n');
  return (await run('busybox', ['sh', '-c', text, 'sh', ...args])).stdout;
}
