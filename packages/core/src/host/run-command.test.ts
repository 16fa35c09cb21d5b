import { describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import type { StreamOptions } from './host.ts';
import { createNodeHost } from './host-node.ts';
import { runCommand } from './run-command.ts';

const host = createNodeHost();
async function* pieces(count: number, onPiece: () => void = () => {}): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    onPiece();
    yield Buffer.alloc(64 * 1024, index);
  }
}

async function output(command: string, args: readonly string[], options?: StreamOptions): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of host.runStream(command, args, options)) parts.push(bytes);
  return Buffer.concat(parts);
}

describe('runStream', () => {
  it('gives what the program makes of its input', async () => {
    const found = await output('cat', [], { input: pieces(100) });
    expect(found.length).toBe(100 * 64 * 1024);
    expect(found.every((byte, index) => byte === Math.floor(index / 65536))).toBe(true);
    expect((await output('echo', ['word'])).toString()).toBe('word\n');
  });

  it('takes no more input than the receiver takes output', async () => {
    let taken = 0;
    const stream = host.runStream('cat', [], {
      input: pieces(10_000, () => {
        taken += 1;
      }),
    });
    await stream.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(taken).toBeLessThan(40);
    await stream.return(undefined);
  });

  it('throws what the program says when it fails, after what it gave', async () => {
    const failing = output('sh', ['-c', 'echo half; echo because >&2; exit 3']);
    await expect(failing).rejects.toMatchObject({
      code: 'command-failed',
      data: { exitStatus: 3, stderr: 'because' },
    });
  });

  it('throws why the input failed rather than what the program says of it', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('half');
      throw new MigrateError('read-failed', 'I/O error');
    }
    await expect(output('sh', ['-c', 'cat >/dev/null; exit 1'], { input: broken() })).rejects.toThrow('I/O error');
  });

  it('takes a warning for a failure where told so', async () => {
    const args = ['-c', 'cat; echo odd >&2'];
    await expect(output('sh', args, { input: pieces(1), refusesWarnings: true })).rejects.toThrow('sh warns: odd');
    expect((await output('sh', args, { input: pieces(1) })).length).toBe(65536);
  });

  it('does not wait for a program that reads only a part', async () => {
    expect((await output('head', ['-c', '10'], { input: pieces(1000) })).length).toBe(10);
  });

  it('names a program that is not installed, and the package it is in', async () => {
    await expect(output('no-such-program', [])).rejects.toMatchObject({ code: 'not-found' });
    await expect(host.run('no-such-program', [])).rejects.toThrow('the program no-such-program is not installed');
  });

  it('ends the program when cancelled', async () => {
    const abort = new AbortController();
    const running = output('sleep', ['60'], { signal: abort.signal });
    setTimeout(() => abort.abort(), 50);
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    await expect(output('echo', [], { signal: abort.signal })).rejects.toMatchObject({ code: 'cancelled' });
  });
});

it('what a command says is seen as it comes', async () => {
  const heard: string[] = [];
  const script = 'echo out; echo err >&2';
  const result = await runCommand(['sh', '-c', script], { onOutput: (text) => void heard.push(text) });
  expect(result).toEqual({ stdout: 'out\n', stderr: 'err\n' });
  expect(heard.sort()).toEqual(['err\n', 'out\n']);
});
