// Plans for captured machines, reviewed as text. A new machine is a new folder with its facts.json (output of `migrate
// facts`); `vitest run -u` writes the plan beside it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Facts, makePlan } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { x86Devices } from './pc.ts';
import { pcAssets, pcConfig } from './pc-fixture.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

describe('captured machines', () => {
  const names = readdirSync(machines).filter((name) => name.startsWith('pc-'));
  it('are there', () => expect(names.length).toBeGreaterThan(2));

  it.each(names)('%s gets its plan', async (name) => {
    const facts = JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
    const { plan, findings } = makePlan({
      config: pcConfig(),
      facts,
      assets: pcAssets(),
      devices: x86Devices,
      toolVersion: '0.1.0',
    });
    expect(findings).toEqual([]);
    await expect(`${JSON.stringify(plan, null, 2)}\n`).toMatchFileSnapshot(join(machines, name, 'plan.json'));
  });
});
