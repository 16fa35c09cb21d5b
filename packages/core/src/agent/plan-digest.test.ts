import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Plan } from '../plan/plan.ts';
import { planDigest } from './plan-digest.ts';

const machines = join(import.meta.dirname, '../../../../fixtures/machines');

describe.each(readdirSync(machines))('the plan for %s', (name) => {
  const plan = JSON.parse(readFileSync(join(machines, name, 'plan.json'), 'utf8')) as Plan;

  test('keeps its name while only free space and memory change', () => {
    const { memory } = plan;
    const later = {
      ...plan,
      id: 'other',
      memory: { ...memory, availableBytes: memory.availableBytes - 1 },
      spaces: [],
    };
    expect(planDigest(later)).toBe(planDigest(plan));
  });

  test('has another name for another disk, image or step', () => {
    const others: Plan[] = [
      { ...plan, target: { ...plan.target, sizeBytes: plan.target.sizeBytes + 512 } },
      { ...plan, image: { ...plan.image, fileSha256: '0'.repeat(64) } },
      { ...plan, stage1: plan.stage1.slice(1) },
      { ...plan, toolVersion: 'other' },
    ];
    const names = [plan, ...others].map(planDigest);
    expect(new Set(names).size).toBe(names.length);
  });
});
