import { ExecaError, execa } from 'execa';
import { MigrateError } from '../error.ts';
import type { CommandOptions, CommandResult } from './host.ts';

const stderrTailBytes = 2000;
const defaultTimeoutMs = 60_000;

/** Runs a program by its argument array; throws `command-failed` or `timeout` with the tail of what it said. */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [command = '', ...args] = argv;
  try {
    const { input, onOutput } = options;
    const running = execa(command, args, {
      ...(typeof input === 'string' ? { input } : { stdin: input ?? 'ignore' }),
      timeout: options.timeoutMs ?? defaultTimeoutMs,
      // Machine-readable output must not depend on the operator's language.
      env: { LC_ALL: 'C', LANGUAGE: 'C' },
      stripFinalNewline: false,
    });
    if (onOutput !== undefined) {
      for (const stream of [running.stdout, running.stderr]) stream.on('data', (bytes) => onOutput(String(bytes)));
    }
    const result = await running;
    return { stdout: result.stdout, stderr: result.stderr };
  } catch (thrown) {
    if (!(thrown instanceof ExecaError)) throw thrown;
    // The input failed, and the program only for want of it.
    if (thrown.cause instanceof MigrateError) throw thrown.cause;
    const stderr = String(thrown.stderr ?? '').slice(-stderrTailBytes);
    throw new MigrateError(
      thrown.timedOut ? 'timeout' : 'command-failed',
      `${thrown.shortMessage}${stderr ? `: ${stderr.trim()}` : ''}`,
      {
        cause: thrown,
        data: { argv: [...argv], exitStatus: thrown.exitCode ?? null, stderr },
      },
    );
  }
}
