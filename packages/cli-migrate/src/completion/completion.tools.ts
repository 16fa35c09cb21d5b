// Completion scripts, asked by the shells themselves.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildProgram } from '../command-line.ts';
import { completionScript, shells } from './completion-script.ts';

let directory: string;
const program = buildProgram(() => async () => {});

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'completion-'));
  for (const shell of shells) writeFileSync(join(directory, `script.${shell}`), completionScript(program, shell));
  writeFileSync(join(directory, 'balena.img'), '');
});
afterAll(() => rmSync(directory, { recursive: true }));

function run(command: string, args: readonly string[]): readonly string[] {
  const stdout = execFileSync(command, [...args], {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  return stdout.split('\n').filter(Boolean).sort();
}

/** What bash offers for the last of these words, which readline has split at blanks and "=". */
function bash(...words: readonly string[]): readonly string[] {
  const ask = `source ./script.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p migrate | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' "\${COMPREPLY[@]}"`;
  return run('bash', ['--norc', '-c', ask, 'bash', 'migrate', ...words]);
}

/** The same for fish, without the descriptions. */
function fish(line: string): readonly string[] {
  const ask = 'source ./script.fish; complete -C "$argv[1]"';
  return run('fish', ['--no-config', '-c', ask, line]).map((word) => word.replace(/\t.*/, ''));
}

/** What zsh makes of a line and one press of Tab, in a terminal of its own. */
function zsh(line: string): string {
  const ask = `zmodload zsh/zpty; zpty shell zsh -f -i
zpty -w shell 'PROMPT=; autoload -Uz compinit; compinit -u -D; source ./script.zsh
show() { print -r -- "LINE<$BUFFER>" }; zle -N show; bindkey "^X" show; print REA""DY'
zpty -r -m shell seen '*READY*'
zpty -n -w shell "$1"$'\\t\\x18'
zpty -r -m shell seen '*LINE<*>*'; print -r -- $seen`;
  return /LINE<(.*)>/.exec(run('timeout', ['20', 'zsh', '-f', '-c', ask, 'zsh', line]).join('\n'))?.[1]?.trim() ?? '';
}

const commands = program.commands.map((command) => command.name()).sort();

describe('bash', () => {
  it('knows every command, and every long option of each', () => {
    expect(bash('')).toEqual(commands);
    for (const command of program.commands) {
      const longs = command.options.flatMap(({ long }) => long ?? []);
      expect(bash(command.name(), '--')).toEqual([...longs, '--help'].sort());
    }
  });

  it('knows choices, files and directories', () => {
    expect(bash('--mode', '')).toEqual(['connected', 'immediate', 'pretend']);
    expect(bash('--mode', '=', 'i')).toEqual(['immediate']);
    expect(bash('prepare', '--format', 'z')).toEqual(['zstd']);
    expect(bash('completion', '')).toEqual(['bash', 'fish', 'zsh']);
    expect(bash('prepare', '--image', 'bal')).toEqual(['balena.img']);
    expect(bash('--work-dir', '')).toEqual([]);
    expect(bash('prepare', '--device-type', '')).toEqual([]);
    expect(bash('undo', '')).toEqual([]);
  });

  it('finds the command behind options, and satisfies shellcheck', () => {
    expect(bash('--json', 'prep')).toEqual(['prepare']);
    expect(bash('--json', 'completion', 'z')).toEqual(['zsh']);
    expect(run('shellcheck', ['-s', 'bash', 'script.bash'])).toEqual([]);
  });
});

describe('fish', () => {
  it('knows commands, options, choices and files', () => {
    expect(fish('migrate ')).toEqual(commands);
    expect(fish('migrate prepare --co')).toEqual(['--config-json']);
    expect(fish('migrate prepare --format ')).toEqual(['gzip', 'raw', 'zstd']);
    expect(fish('migrate prepare --image bal')).toEqual(['balena.img']);
    expect(fish('migrate completion z')).toEqual(['zsh']);
  });
});

describe('zsh', () => {
  it.each([
    ['migrate prep', 'migrate prepare'],
    ['migrate prepare --config', 'migrate prepare --config-json'],
    ['migrate prepare --format z', 'migrate prepare --format zstd'],
    ['migrate --mode i', 'migrate --mode immediate'],
  ])('completes "%s" to "%s"', (line, expected) => {
    expect(zsh(line)).toBe(expected);
  });
});
