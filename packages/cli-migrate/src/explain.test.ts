import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { explainPlan, type Facts, type Plan } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { stepHandlers } from './step-handlers.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

describe('the plan for a person', () => {
  it.each(readdirSync(machines))('%s', async (name) => {
    const read = (file: string): unknown => JSON.parse(readFileSync(join(machines, name, file), 'utf8'));
    const text = explainPlan(read('plan.json') as Plan, { facts: read('facts.json') as Facts, handlers: stepHandlers });
    await expect(text).toMatchFileSnapshot(join(machines, name, 'plan.txt'));
  });
});
