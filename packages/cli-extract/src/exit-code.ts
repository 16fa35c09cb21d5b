import { type ErrorCode, exitCodes, MigrateError } from '@migrate/core';

/** Failures of what the machine did; all others stand against the image or the request. */
const failures: readonly ErrorCode[] = [
  'read-failed',
  'write-failed',
  'verify-mismatch',
  'command-failed',
  'timeout',
  'cancelled',
  'no-space',
];

/** Whatever was thrown, nothing half-written is left. */
export function exitCodeOfThrown(thrown: unknown): number {
  if (!(thrown instanceof MigrateError)) return exitCodes.bug;
  return failures.includes(thrown.code) ? exitCodes.undone : exitCodes.refused;
}
