import { MigrateError, messageOf } from '../error.ts';
import { redact } from '../log/redact.ts';
import { exitCodeOfThrown } from './exit-code.ts';
import type { Output } from './render.ts';

/** Prints what a command has thrown, when nothing has been changed, and returns the exit code for it. */
export function reportThrown(program: string, thrown: unknown, output: Output): number {
  const isBug = !(thrown instanceof MigrateError);
  const text = isBug && thrown instanceof Error ? `this is a bug: ${thrown.stack}` : messageOf(thrown);
  output.write(`${program}: ${redact(text ?? '')}\n`);
  return exitCodeOfThrown(thrown);
}
