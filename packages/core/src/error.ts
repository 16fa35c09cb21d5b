/** The closed list of ways in which an action can fail; scripts may rely on them. */
export type ErrorCode =
  | 'read-failed'
  | 'write-failed'
  | 'verify-mismatch'
  | 'command-failed'
  | 'timeout'
  /** The user did not want it any more. */
  | 'cancelled'
  | 'not-found'
  | 'invalid-input'
  | 'busy'
  | 'locked'
  | 'no-space'
  | 'wrong-disk'
  | 'wrong-image'
  | 'undo-failed'
  | 'unsupported'
  /** A bug of ours, caught at the border of a run. */
  | 'internal';

/** Plain, printable facts about an error; never secrets. */
export type ErrorData = Readonly<Record<string, string | number | boolean | readonly string[] | null>>;

/**
 * The only error that library code throws on purpose. `message` reads as a sentence from the outside in
 * ("flashing /dev/sda: writing at 34 MiB: I/O error"). Anything else that is thrown is a bug.
 */
export class MigrateError extends Error {
  readonly code: ErrorCode;
  readonly data: ErrorData;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; data?: ErrorData } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MigrateError';
    this.code = code;
    this.data = options.data ?? {};
  }
}

/** The text of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * Runs `action` and puts `phrase` (a gerund: "reading /etc/fstab") before the message of what it throws. A MigrateError
 * keeps its code; a system error (one with an errno code) becomes `fallback`; any other is a bug and passes unchanged.
 */
export async function doing<T>(phrase: string, fallback: ErrorCode, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    if (thrown instanceof MigrateError) {
      throw new MigrateError(thrown.code, `${phrase}: ${thrown.message}`, { cause: thrown, data: thrown.data });
    }
    if (isSystemError(thrown)) {
      const code = thrown.code === 'ENOSPC' ? 'no-space' : fallback;
      throw new MigrateError(code, `${phrase}: ${thrown.message}`, { cause: thrown, data: { errno: thrown.code } });
    }
    throw thrown;
  }
}

/** An error that Node made from an errno. */
export function isSystemError(thrown: unknown): thrown is Error & { code: string } {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' && 'syscall' in thrown;
}

/** Throws `cancelled` once `signal` was given; to be called between pieces of long work. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new MigrateError('cancelled', 'cancelled', { cause: signal.reason });
}
