import { describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import { runCommand } from './run-command.ts';

async function* stream(parts: readonly string[], failure?: unknown): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
  if (failure !== undefined) throw failure;
}

describe('a command with streamed input', () => {
  it('reads it all, and what it says is seen as it comes', async () => {
    const heard: string[] = [];
    const run = runCommand(['cat'], { input: stream(['a\n', 'b\n']), onOutput: (text) => void heard.push(text) });
    expect((await run).stdout).toBe('a\nb\n');
    expect(heard.join('')).toBe('a\nb\n');
  });

  it('fails as its input fails', async () => {
    const failure = new MigrateError('verify-mismatch', 'the archive changed');
    await expect(runCommand(['cat'], { input: stream(['a'], failure) })).rejects.toBe(failure);
  });

  it('fails by its own status where it stops reading', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 1000; count += 1) yield Buffer.alloc(64 * 1024);
    }
    const run = runCommand(['sh', '-c', 'echo enough >&2; exit 3'], { input: endless() });
    await expect(run).rejects.toMatchObject({ code: 'command-failed', data: { exitStatus: 3 } });
  });

  it('says so where the program is missing', async () => {
    await expect(runCommand(['no-such-program'])).rejects.toMatchObject({ code: 'command-failed' });
  });
});
