import { pipeline } from 'node:stream/promises';
import { ExecaError, execa } from 'execa';
import { MigrateError, throwIfCancelled } from '../error.ts';
import type { CommandOptions, CommandResult, StreamOptions } from './host.ts';

const stderrTailBytes = 2000;
const stderrLimitBytes = 1024 * 1024;
const defaultTimeoutMs = 60_000;
/** Machine-readable output must not depend on the operator's language. */
const env = { LC_ALL: 'C', LANGUAGE: 'C' };

/** The Debian packages of programs that a system may well be without. */
const debianPackages: Readonly<Record<string, string>> = {
  bzip2: 'bzip2',
  e2fsck: 'e2fsprogs',
  getfattr: 'attr',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.vfat': 'dosfstools',
  sfdisk: 'fdisk',
  xz: 'xz-utils',
  zstd: 'zstd',
};

/** Runs a program by its argument array; throws `command-failed` or `timeout` with the tail of what it said. */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [command = '', ...args] = argv;
  try {
    const { input, onOutput } = options;
    const running = execa(command, args, {
      ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
      timeout: options.timeoutMs ?? defaultTimeoutMs,
      env,
      stripFinalNewline: false,
    });
    if (onOutput !== undefined) {
      for (const stream of [running.stdout, running.stderr]) stream.on('data', (bytes) => onOutput(String(bytes)));
    }
    const result = await running;
    return { stdout: result.stdout, stderr: result.stderr };
  } catch (thrown) {
    throw asMigrateError(thrown, argv);
  }
}

/** See Host.runStream. */
export async function* runStream(
  argv: readonly string[],
  { input, signal, refusesWarnings = false }: StreamOptions = {},
): AsyncGenerator<Uint8Array> {
  throwIfCancelled(signal);
  const [command = '', ...args] = argv;
  const child = execa(command, args, {
    stdin: input === undefined ? 'ignore' : 'pipe',
    buffer: { stdout: false, stderr: true },
    maxBuffer: { stderr: stderrLimitBytes },
    env,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  // Both are waited for below; until then a failure must not count as unhandled.
  child.catch(() => {});
  const feeding = input === undefined || child.stdin === null ? Promise.resolve() : feed(input, child.stdin);
  feeding.catch(() => child.kill());
  try {
    for await (const chunk of child.stdout) yield chunk as Uint8Array;
    throwIfCancelled(signal);
    // What went wrong with the input is the reason for what the program says of it.
    await feeding;
    const { stderr } = await child;
    if (refusesWarnings && stderr !== '') {
      throw new MigrateError('command-failed', `${command} warns: ${stderr.trim()}`, { data: { argv: [...argv] } });
    }
  } catch (thrown) {
    throw asMigrateError(thrown, argv);
  } finally {
    child.kill();
    await Promise.allSettled([child, feeding]);
  }
}

/** Fills stdin as fast as it is taken. That the program closed it is no error: its exit status tells. */
async function feed(input: AsyncIterable<Uint8Array>, stdin: NodeJS.WritableStream): Promise<void> {
  try {
    await pipeline(input, stdin);
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
    if (code !== 'EPIPE' && code !== 'ERR_STREAM_PREMATURE_CLOSE') throw thrown;
  }
}

function asMigrateError(thrown: unknown, argv: readonly string[]): unknown {
  if (!(thrown instanceof ExecaError)) return thrown;
  // The input failed, and the program only for want of it.
  if (thrown.cause instanceof MigrateError) return thrown.cause;
  const stderr = String(thrown.stderr ?? '').slice(-stderrTailBytes);
  const data = { argv: [...argv], exitStatus: thrown.exitCode ?? null, stderr };
  const command = argv[0] ?? '';
  if (thrown.code === 'ENOENT') {
    const debianPackage = debianPackages[command];
    const cure = debianPackage === undefined ? '' : `; it is in the Debian package ${debianPackage}`;
    return new MigrateError('not-found', `the program ${command} is not installed${cure}`, { cause: thrown, data });
  }
  if (thrown.isCanceled) return new MigrateError('cancelled', 'cancelled', { cause: thrown, data });
  const message = `${thrown.shortMessage}${stderr ? `: ${stderr.trim()}` : ''}`;
  return new MigrateError(thrown.timedOut ? 'timeout' : 'command-failed', message, { cause: thrown, data });
}
