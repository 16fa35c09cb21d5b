import { exitCodeOfUndone, exitCodes } from '@migrate/core';

/** Whatever was thrown, nothing half-written is left. Here invalid input is an image that is refused, not the command line. */
export function exitCodeOfFailure(thrown: unknown): number {
  const code = exitCodeOfUndone(thrown);
  return code === exitCodes.usage ? exitCodes.refused : code;
}
