import { exitCodes } from './exit-code.ts';

/** Makes of a command, which gives its exit code, what a parser of command lines calls. */
export type Run = <A extends unknown[]>(action: (...args: A) => Promise<number>) => (...args: A) => Promise<void>;

/**
 * Has a parser find a command and run it; returns the exit code. `parse` is given what it makes its commands with; `failed` reports what
 * a command throws and gives the exit code for that. The parser is commander: what it throws itself it has said before.
 */
export async function runCommands(
  parse: (run: Run) => Promise<unknown>,
  failed: (thrown: unknown) => number,
): Promise<number> {
  let exitCode: number = exitCodes.done;
  try {
    await parse((action) => async (...args) => {
      exitCode = await action(...args);
    });
    return exitCode;
  } catch (thrown) {
    if (!isOfParser(thrown)) return failed(thrown);
    return thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  }
}

/** A CommanderError; `--help` and `--version` are some with exit code 0. */
function isOfParser(thrown: unknown): thrown is { readonly exitCode: number } {
  if (!(thrown instanceof Error) || !('code' in thrown) || !('exitCode' in thrown)) return false;
  return typeof thrown.code === 'string' && thrown.code.startsWith('commander.') && typeof thrown.exitCode === 'number';
}
