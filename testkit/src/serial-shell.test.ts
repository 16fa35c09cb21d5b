import { describe, expect, it } from 'vitest';
import { serialLog } from './serial-log.ts';
import { serialShell } from './serial-shell.ts';

/** A console whose other end answers as the agent does, but for what `answer` makes of it. */
function consoleWith(answer: (script: string) => { status: string; out: string; err: string }) {
  const log = serialLog();
  const lines: string[] = [];
  let script = '';
  const send = (line: string): void => {
    lines.push(line);
    const [word, rest = '', bytes] = line.trimEnd().split(' ');
    if (word === '+') script += rest;
    if (word !== '!') return;
    const sent = Buffer.from(script, 'base64').toString();
    script = '';
    expect(sent.length).toBe(Number(bytes));
    const { status, out, err } = answer(sent);
    const [outText, errText] = [out, err].map((text) => Buffer.from(text).toString('base64'));
    const sizes = `${outText?.length} ${errText?.length}`;
    // A console gives what it has in pieces.
    for (const piece of `\nAGENT-END ${rest} ${status} ${sizes} ${outText},${errText},\r\n`.match(/.{1,7}|\s/gs) ?? [])
      log.append(piece);
  };
  return { log, lines, shell: serialShell({ log, send }) };
}

describe('a shell over the serial console', () => {
  it('gives what a program printed and how it ended', async () => {
    const { shell } = consoleWith((script) => ({ status: '3', out: `ran ${script}`, err: 'grüße\n' }));
    expect(await shell.run('/bin/echo', ["it's", 'a b'])).toEqual({
      exitCode: 3,
      stdout: "ran exec '/bin/echo' 'it'\\''s' 'a b'",
      stderr: 'grüße\n',
    });
  });

  it('sends long scripts in lines that a terminal takes', async () => {
    const { shell, lines } = consoleWith(() => ({ status: '0', out: '', err: '' }));
    await shell.writeFile('/file', 'x'.repeat(5000));
    expect(lines.length).toBeGreaterThan(5);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(1100);
  });

  it('throws where a script fails', async () => {
    const { shell } = consoleWith(() => ({ status: '1', out: '', err: 'no such file' }));
    await expect(shell.runShell('cat /nowhere')).rejects.toThrow(/exit 1 of cat .*no such file/s);
  });

  it.each([
    ['when a script did not arrive whole', 'AGENT-END 1 garbled 0 0 ,,\n', 'did not reach'],
    ['when the kernel printed into an answer', 'AGENT-END 1 0 8 0 aGVs[ 1.0] panic\nbG8=,,\n', 'something else'],
    ['when bytes of an answer are lost', 'AGENT-END 1 0 8 0 aGVsb8=,,\n', 'something else'],
  ])('notices %s', async (_when, answer, message) => {
    const log = serialLog();
    const shell = serialShell({ log, send: (line) => line.startsWith('!') && log.append(answer) });
    await expect(shell.runShell('true')).rejects.toThrow(message);
  });

  it('waits for the agent of this start, not of the one before', async () => {
    const log = serialLog();
    const shell = serialShell({ log, send: () => {} });
    log.append('AGENT-READY\n');
    await shell.waitForAgent();
    shell.restarted();
    await expect(shell.waitForAgent({ timeoutMs: 150 })).rejects.toThrow('was not up');
    log.append('AGENT-READY\n');
    await shell.waitForAgent();
  });
});
