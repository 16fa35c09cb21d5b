import { type ErrorCode, MigrateError } from '../error.ts';
import type { Outcome } from '../execute/execute.ts';

/** Exit codes of all commands; scripts may rely on them. */
export const exitCodes = {
  done: 0,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** Something stands against it; nothing was changed. */
  refused: 3,
  /** It failed, and everything was taken back. */
  undone: 4,
  /** It failed and is not taken back; the message says what state the machine is in. */
  notUndone: 5,
  /** A bug in this program. */
  bug: 70,
} as const;

export function exitCodeOf(outcome: Outcome): number {
  switch (outcome.kind) {
    case 'done':
      return exitCodes.done;
    case 'undone':
      return exitCodes.undone;
    case 'undo-failed':
    case 'failed-after-point-of-no-return':
      return exitCodes.notUndone;
  }
}

/** For what was thrown outside of a run, when nothing has been changed. */
export function exitCodeOfThrown(thrown: unknown): number {
  if (!(thrown instanceof MigrateError)) return exitCodes.bug;
  return thrown.code === 'invalid-input' ? exitCodes.usage : exitCodes.refused;
}

/** Failures of what a machine did; all others stand against the request, and come before anything is changed. */
const failures: readonly ErrorCode[] = [
  'read-failed',
  'write-failed',
  'verify-mismatch',
  'command-failed',
  'timeout',
  'cancelled',
  'no-space',
];

/** For what was thrown by work that takes back whatever it has done when it fails. */
export function exitCodeOfUndone(thrown: unknown): number {
  if (!(thrown instanceof MigrateError)) return exitCodes.bug;
  if (thrown.code === 'undo-failed') return exitCodes.notUndone;
  return failures.includes(thrown.code) ? exitCodes.undone : exitCodeOfThrown(thrown);
}
