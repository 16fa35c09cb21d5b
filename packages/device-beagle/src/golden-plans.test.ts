// Plans for boards described in fixtures/machines/beagle*, reviewed as text; `vitest run -u` writes the plan beside the facts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Facts, makePlan } from '@migrate/core';
import { soundConfig } from '@migrate/core/testing';
import { describe, expect, it } from 'vitest';
import { lifeboatAssets } from './beagle-fixture.ts';
import { beagles } from './beagles.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

function planFor(directory: string) {
  const facts = JSON.parse(readFileSync(join(directory, 'facts.json'), 'utf8')) as Facts;
  const deviceType = beagles.find((device) => device.matches(facts))?.deviceTypes[0] ?? 'beaglebone-black';
  return makePlan({
    config: soundConfig(),
    facts,
    assets: lifeboatAssets(deviceType),
    devices: beagles,
    toolVersion: '0.1.0',
  });
}

describe('boards built by hand', () => {
  const names = readdirSync(machines).filter((name) => name.startsWith('beagle'));
  it('are there', () => expect(names.length).toBeGreaterThan(6));

  it.each(names)('%s gets its plan', async (name) => {
    const { plan, findings } = planFor(join(machines, name));
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    await expect(`${JSON.stringify(plan, null, 2)}\n`).toMatchFileSnapshot(join(machines, name, 'plan.json'));
  });
});

const refused = join(import.meta.dirname, '../../../fixtures/refused');

describe('boards that are refused', () => {
  const names = readdirSync(refused).filter((name) => name.startsWith('beagle'));
  it('are there', () => expect(names.length).toBeGreaterThan(5));

  it.each(names)('%s is told why, and what to do', async (name) => {
    const { plan, findings } = planFor(join(refused, name));
    expect(plan).toBeUndefined();
    const lines = findings.map(
      ({ severity, code, where, message, hint }) => `${severity} ${code}\n  ${where}: ${message}\n  ${hint}\n`,
    );
    await expect(lines.join('')).toMatchFileSnapshot(join(refused, name, 'findings.txt'));
  });
});
