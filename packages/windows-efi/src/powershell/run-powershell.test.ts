import { createMemoryHost, MigrateError } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodedCommand, operationScript, runPowerShell } from './run-powershell.ts';

/** Of any UTF-16 units, also halves of a pair; quotes and line ends among them are many. */
const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom("'", '"', '`', '$', '\n', '\r', '\\'),
    fc.nat(0xffff).map((unit) => String.fromCharCode(unit)),
  ),
});

function decoded(args: readonly string[]): string {
  return Buffer.from(args.at(-1) ?? '', 'base64').toString('utf16le');
}

function hostThat(answer: (script: string) => string) {
  return createMemoryHost({
    run: async (command, args) => {
      expect(command).toBe('powershell.exe');
      return { stdout: answer(decoded(args)), stderr: '' };
    },
  });
}

describe('runPowerShell', () => {
  it('names the operation and its arguments in the first line', async () => {
    const host = hostThat((script) => JSON.stringify({ line: script.split('\n')[0] }));
    const printed = await runPowerShell(host, 'resize-partition', { disk: 0, label: "it's" }, 'Get-Date');
    expect(printed).toEqual({ line: '# migrate:resize-partition {"disk":0,"label":"it\'s"}' });
  });

  it('keeps any argument inside its quotes and its line', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const script = operationScript('read-disks', { text }, '');
        const [first = '', ...rest] = script.split('\n');
        expect(JSON.parse(first.slice('# migrate:read-disks '.length))).toEqual({ text });
        const literal = rest.find((line) => line.startsWith('$a = ')) ?? '';
        const quoted = /^\$a = '((?:[^']|'')*)' \| ConvertFrom-Json$/.exec(literal)?.[1] ?? '';
        expect(JSON.parse(quoted.replaceAll("''", "'"))).toEqual({ text });
        expect(Buffer.byteLength(script)).toBe(script.length);
      }),
    );
  });

  it('looks for modules in those of 5.1 before any command may load one', () => {
    const [, first] = operationScript('read-disks', {}, 'Get-Disk').split('\n');
    expect(first).toBe('$env:PSModulePath = "$PSHOME\\Modules;$env:ProgramFiles\\WindowsPowerShell\\Modules"');
  });

  it('takes JSON with a byte order mark', async () => {
    expect(
      await runPowerShell(
        hostThat(() => '\uFEFF{"a":1}\r\n'),
        'read-disks',
        {},
        '',
      ),
    ).toEqual({ a: 1 });
  });

  it('shows nothing of output that is no JSON, for it may hold a password', async () => {
    const running = runPowerShell(
      hostThat(() => 'hunter2'),
      'export-wifi-profiles',
      {},
      '',
    );
    await expect(running).rejects.toThrow('export-wifi-profiles: PowerShell printed 7 characters that are no JSON');
  });

  it('says what PowerShell says, without the encoded script', async () => {
    const host = createMemoryHost({
      run: async (_, args) => {
        const data = { stderr: 'Zugriff verweigert\r\n', exitStatus: 1 };
        throw new MigrateError('command-failed', `Command failed: powershell.exe ${args.join(' ')}`, { data });
      },
    });
    const running = runPowerShell(host, 'read-disks', {}, 'Get-Disk');
    await expect(running).rejects.toMatchObject({
      code: 'command-failed',
      message: 'read-disks: Zugriff verweigert',
      data: { operation: 'read-disks' },
    });
  });

  it('refuses a script that no command line holds', () => {
    expect(() => encodedCommand('x'.repeat(12_100))).toThrow('too long');
  });
});
