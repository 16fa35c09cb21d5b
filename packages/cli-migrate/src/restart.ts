// The end of stage 1 where the machine restarts by itself.
import { exitCodes, type Host, messageOf, redact } from '@migrate/core';

/**
 * Restarts a machine that is prepared, and returns the exit code. Where that fails the machine stays prepared, and whoever asked is
 * told so: it must not look like a machine on which nothing was changed. `keep` takes what the report is to say then; it never throws.
 */
export async function restart(
  host: Pick<Host, 'reboot'>,
  keep: (exitCode: number, message: string) => Promise<void>,
): Promise<number> {
  try {
    await host.reboot();
    return exitCodes.done;
  } catch (thrown) {
    const message = `the machine is prepared, but could not be restarted (${messageOf(thrown)}): restart it to migrate, or run "migrate undo"`;
    process.stderr.write(`migrate: ${redact(message)}\n`);
    await keep(exitCodes.notUndone, message);
    return exitCodes.notUndone;
  }
}
