/**
 * Lets the program live on where nobody can be told anything any more: a console that fails, a pipe whose reader has gone. Without
 * it Node ends the process at the next line, in the middle of whatever it is doing.
 */
export function surviveConsole(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}
