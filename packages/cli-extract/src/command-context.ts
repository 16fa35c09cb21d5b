import type { Host } from '@migrate/core';

/** What a command may use of the process. */
export interface CommandContext {
  readonly host: Host;
  /** Given when the user interrupts. */
  readonly signal: AbortSignal;
}
