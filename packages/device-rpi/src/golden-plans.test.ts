// Plans for boards described in fixtures/machines/pi-*, reviewed as text; `vitest run -u` writes the plan beside the facts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Facts, makePlan } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { modelNamed } from './models.ts';
import { piAssets, piConfig } from './pi-fixture.ts';
import { raspberryPis } from './raspberry-pi.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

describe('boards built by hand', () => {
  const names = readdirSync(machines).filter((name) => name.startsWith('pi-'));
  it('are there', () => expect(names.length).toBeGreaterThan(11));

  it.each(names)('%s gets its plan', async (name) => {
    const facts = JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
    const { plan, findings } = makePlan({
      config: piConfig(),
      facts,
      assets: piAssets(modelNamed(facts.hardware.deviceTreeModel)?.deviceTypes[0] ?? ''),
      devices: raspberryPis,
      toolVersion: '0.1.0',
    });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    await expect(`${JSON.stringify(plan, null, 2)}\n`).toMatchFileSnapshot(join(machines, name, 'plan.json'));
  });
});
