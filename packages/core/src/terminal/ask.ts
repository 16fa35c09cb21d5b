import { createInterface } from 'node:readline/promises';

/**
 * Asks on the terminal whether to go on; `what` is a whole sentence. Only "yes" is one. False without a terminal, which is said, and
 * where it ends without an answer.
 */
export async function askToGoOn(program: string, what: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    process.stderr.write(`${program}: there is no terminal to ask on; use --yes to go on without a question\n`);
    return false;
  }
  const readline = createInterface({ input: process.stdin, output: process.stderr });
  // At Ctrl-D the question alone would never come to an end.
  const ended = new Promise<string>((resolve) => readline.once('close', () => resolve('')));
  try {
    return (await Promise.race([readline.question(`${what} Type "yes" to go on: `), ended])).trim() === 'yes';
  } finally {
    readline.close();
  }
}
