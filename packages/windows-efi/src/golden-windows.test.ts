// Facts, plans and the operations of PowerShell for hand-written machines, reviewed as text; `vitest run -u` writes them anew.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execute, type Plan, publicPlan, readJournal, undoJournal } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { createMemoryWindows, planFor } from './memory-windows.ts';
import * as changeScripts from './powershell/change-scripts.ts';
import * as readScripts from './powershell/read-scripts.ts';
import { operationScript } from './powershell/run-powershell.ts';
import { windowsFixtures } from './windows-fixture.ts';

const machines = readdirSync(windowsFixtures, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name.startsWith('windows-'))
  .map(({ name }) => name);

describe('machines with Windows', () => {
  it('are there', () => expect(machines.length).toBeGreaterThanOrEqual(6));

  it.each(machines)('%s gets its facts and its plan', async (machine) => {
    const { facts, plan, findings } = await planFor(machine);
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    const at = (name: string): string => join(windowsFixtures, machine, name);
    await expect(`${JSON.stringify(facts, null, 1)}\n`).toMatchFileSnapshot(at('facts.json'));
    const text = findings.map(({ code, where, message }) => `${code}: ${where}: ${message}\n`).join('');
    await expect(text).toMatchFileSnapshot(at('findings.txt'));
    await expect(`${JSON.stringify(publicPlan(plan ?? ({} as Plan)), null, 1)}\n`).toMatchFileSnapshot(at('plan.json'));
  });

  it.each([
    ...machines.map((machine) => [machine, undefined] as const),
    ['windows-10-iot-kiosk', 'boot-manager'] as const,
  ])('%s is asked in this order, and is as before after undo (%s)', async (machine, way) => {
    const { plan, findings } = await planFor(machine, way);
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    if (plan === undefined) throw new Error('there is a plan');
    const windows = await createMemoryWindows(machine);
    const before = windows.snapshot();
    const run = windows.execution(plan);
    expect(await execute(run)).toEqual({ kind: 'done' });
    const journal = await readJournal(windows.host, run.journalPath);
    if (journal === undefined) throw new Error('there is a journal');
    const asked = windows.asked.splice(0);
    await undoJournal(journal, run);
    expect(windows.snapshot()).toEqual(before);
    const text = ['stage 1', ...asked, '', 'undo', ...windows.asked, ''].join('\n');
    await expect(text).toMatchFileSnapshot(
      join(windowsFixtures, machine, `operations${way === undefined ? '' : `-${way}`}.txt`),
    );
  });

  it.each(
    Object.entries({ ...readScripts, ...changeScripts }).map(
      ([name, script]) =>
        [name.replace(/Script$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`), script] as const,
    ),
  )('the script of %s is reviewed as text', async (name, script) => {
    await expect(operationScript(name, {}, script)).toMatchFileSnapshot(
      join(windowsFixtures, 'scripts', `${name}.ps1`),
    );
  });
});
