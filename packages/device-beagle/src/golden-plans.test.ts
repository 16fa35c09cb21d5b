// Plans for boards described in fixtures/machines/beagle*, reviewed as text; `vitest run -u` writes the plan beside the facts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Facts, makePlan } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { beagleAssets, beagleConfig } from './beagle-fixture.ts';
import { beagles } from './beagles.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

describe('boards built by hand', () => {
  const names = readdirSync(machines).filter((name) => name.startsWith('beagle'));
  it('are there', () => expect(names.length).toBeGreaterThan(6));

  it.each(names)('%s gets its plan', async (name) => {
    const facts = JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
    const deviceType = beagles.find((device) => device.matches(facts))?.deviceTypes[0] ?? '';
    const { plan, findings } = makePlan({
      config: beagleConfig(),
      facts,
      assets: beagleAssets(deviceType),
      devices: beagles,
      toolVersion: '0.1.0',
    });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    await expect(`${JSON.stringify(plan, null, 2)}\n`).toMatchFileSnapshot(join(machines, name, 'plan.json'));
  });
});
