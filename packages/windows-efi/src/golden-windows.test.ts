// Facts, plans and the operations of PowerShell for hand-written machines, reviewed as text; `vitest run -u` writes them anew.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  configureSteps,
  execute,
  type MemoryNode,
  migratedNetworks,
  type Plan,
  publicPlan,
  readJournal,
  type StepHandlers,
  undoJournal,
} from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { inspectWindows } from './facts/inspect-windows.ts';
import { createMemoryWindows, type MemoryWindows } from './memory-windows.ts';
import { collectWindowsNetworks } from './network/collect-windows-networks.ts';
import { makeWindowsPlan } from './plan/make-windows-plan.ts';
import * as changeScripts from './powershell/change-scripts.ts';
import * as readScripts from './powershell/read-scripts.ts';
import { operationScript } from './powershell/run-powershell.ts';
import { windowsSteps } from './steps/windows-steps.ts';
import {
  bootParts,
  pcDevice,
  readerOf,
  runtime,
  windowsAssets,
  windowsConfig,
  windowsFixtures,
} from './windows-fixture.ts';

const machines = readdirSync(windowsFixtures, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name.startsWith('windows-'))
  .map(({ name }) => name);

async function planFor(machine: string, windowsBoot?: 'boot-manager') {
  const read = readerOf(machine);
  const config = windowsConfig(windowsBoot === undefined ? {} : { windowsBoot });
  const assets = windowsAssets({ networks: migratedNetworks(await collectWindowsNetworks(read), config) });
  const facts = await inspectWindows(read);
  return {
    facts,
    ...makeWindowsPlan({ config, facts, assets, boot: bootParts, device: pcDevice, toolVersion: '0.1.0' }),
  };
}

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
    const windows = await createMemoryWindows(machine, { files: files() });
    const before = [windows.snapshot(), bootFiles(windows)];
    const run = { context: contextOf(windows, plan), journalPath: '/state/journal.json', handlers };
    expect(await execute({ ...run, steps: withSmallFiles(plan).stage1 })).toEqual({ kind: 'done' });
    const journal = await readJournal(windows.host, run.journalPath);
    if (journal === undefined) throw new Error('there is a journal');
    const asked = windows.asked.splice(0);
    await undoJournal(journal, run);
    expect([windows.snapshot(), bootFiles(windows)]).toEqual(before);
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

/** Stage 2's own steps never run here. */
const handlers = { ...windowsSteps, ...configureSteps } as unknown as StepHandlers;

function contextOf({ host }: MemoryWindows, plan: Plan) {
  return { host, plan, emit: () => {}, log: () => new Uint8Array() };
}

/** Everything that the steps copy, some bytes each. */
function files(): Record<string, string> {
  const paths = [...runtime.files.map(({ path }) => `/migrate/${path}`), '/migrate/image.img.gz'];
  const boot = [bootParts.kernel, bootParts.loader, ...bootParts.modules].map(({ path }) => local(path));
  return {
    // As every kernel module begins.
    ...Object.fromEntries([...paths, ...boot].map((path) => [path, `\u007fELF of ${path}`])),
    '/migrate/config.json': '{"deviceType":"generic-amd64"}',
    '/state/.keep': '',
  };
}

/** A path of the fixture as the memory host has it. */
function local(path: string): string {
  return path.replace(/^C:/, '').replaceAll('\\', '/');
}

function withSmallFiles(plan: Plan): Plan {
  const text = JSON.stringify(plan, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith('C:\\migrate') ? local(value) : value,
  );
  const local_ = JSON.parse(text) as Plan;
  // Its contents are checked where it is made of a real one.
  return { ...local_, stage1: local_.stage1.filter(({ id }) => id !== 'write-config-json') };
}

function bootFiles({ host }: MemoryWindows): readonly (readonly [string, MemoryNode])[] {
  return [...host.nodes].filter(([path]) => path.startsWith('/esp'));
}
