/**
 * Given when the user interrupts (SIGINT, SIGTERM) for the first time, so that a command can clean up; a second one ends the
 * process at once. Listeners must stay: signal-exit, which execa uses, ends the process where it finds no other than its own.
 */
export function interruptSignal(): AbortSignal {
  const interrupt = new AbortController();
  for (const [name, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    process.on(name, () => {
      // As shells report a process that a signal has ended.
      if (interrupt.signal.aborted) process.exit(128 + number);
      interrupt.abort();
    });
  }
  return interrupt.signal;
}
