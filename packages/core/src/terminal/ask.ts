import { createInterface } from 'node:readline/promises';

/** Asks on the terminal whether to go on; false without a terminal, which is said. `what` is a whole sentence. */
export async function askToGoOn(program: string, what: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    process.stderr.write(`${program}: there is no terminal to ask on; use --yes to go on without a question\n`);
    return false;
  }
  const readline = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await readline.question(`${what} Type "yes" to go on: `)).trim() === 'yes';
  } finally {
    readline.close();
  }
}
