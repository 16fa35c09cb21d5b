import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommandLine } from '@migrate/cli-migrate';
import {
  type Event,
  exitCodeOf,
  exitCodes,
  type Finding,
  type FormerRun,
  type Outcome,
  sampleConfig,
} from '@migrate/core';
import { describe, expect, it, vi } from 'vitest';

const page = readFileSync(new URL('../../../docs/exit-codes-and-json.md', import.meta.url), 'utf8');

/** Rows of the table under a heading: their cells. */
function rowsUnder(heading: string): readonly (readonly string[])[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  );
}

const plain = (cell = ''): string => cell.replaceAll('`', '');
const namesUnder = (heading: string): readonly string[] => rowsUnder(heading).map(([name]) => plain(name));

/** One that is missing here does not compile, so that the page cannot lag behind the types. */
const kinds: Record<Event['kind'], readonly string[]> = {
  'step-started': ['step', 'text'],
  progress: ['text', 'done', 'total', 'unit'],
  'step-done': ['step', 'milliseconds'],
  'step-undone': ['step'],
  'step-failed': ['step', 'text'],
  note: ['level', 'text'],
};
const states: Record<FormerRun['kind'], true> = {
  none: true,
  running: true,
  'half-done': true,
  armed: true,
  'fell-back': true,
};
const findingKeys: Record<keyof Finding, true> = { severity: true, code: true, where: true, message: true, hint: true };
const outcomes: Record<Outcome['kind'], true> = {
  done: true,
  undone: true,
  'undo-failed': true,
  'failed-after-point-of-no-return': true,
};

describe('docs/exit-codes-and-json.md', () => {
  it('names every exit code', () => {
    expect(namesUnder('Exit codes')).toEqual(Object.values(exitCodes).map(String));
  });

  it('names every state, outcome, event and part of a finding', () => {
    expect(namesUnder('States')).toEqual(Object.keys(states));
    expect(namesUnder('Findings')).toEqual(Object.keys(findingKeys));
    expect(namesUnder('Outcomes')).toEqual(Object.keys(outcomes));
    const events = rowsUnder('Events').map(([kind, keys = '']) => [
      plain(kind),
      [...keys.replaceAll(/\(.*?\)/g, '').matchAll(/`([^`]+)`/g)].map(([, key]) => key),
    ]);
    expect(events).toEqual(Object.entries(kinds));
  });

  it('gives outcomes the exit codes that they have', () => {
    for (const [name, code] of rowsUnder('Outcomes'))
      expect(String(exitCodeOf({ kind: plain(name) } as Outcome))).toBe(code);
  });

  it('gives commands the keys that they print', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'json-'));
    const file = join(directory, 'balena-migrate.yml');
    writeFileSync(file, sampleConfig());
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    try {
      for (const args of [['validate', file], ['status']]) {
        write.mockClear();
        expect(await runCommandLine([...args, '--json'])).toBe(exitCodes.done);
        const printed = JSON.parse(write.mock.calls.map(([text]) => String(text)).join('')) as object;
        const row = rowsUnder('What commands print with `--json`').find(
          ([name]) => plain(name) === `migrate ${args[0]}`,
        );
        for (const key of Object.keys(printed)) expect(row?.[1]).toContain(`\`${key}\``);
      }
    } finally {
      write.mockRestore();
      await rm(directory, { recursive: true });
    }
  });
});
