// Plans for boards described in fixtures/machines/pi-*, reviewed as text; `vitest run -u` writes the plan beside the facts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Architecture, type Assets, type Facts, makePlan } from '@migrate/core';
import { soundAssets, soundConfig } from '@migrate/core/testing';
import { describe, expect, it } from 'vitest';
import { modelNamed } from './models.ts';
import { raspberryPis } from './raspberry-pi.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

function planFor(facts: Facts, change: (assets: Assets) => Assets = (assets) => assets) {
  const deviceType = modelNamed(facts.hardware.deviceTreeModel)?.deviceTypes[0] ?? '';
  return makePlan({
    config: soundConfig(),
    facts,
    assets: change(withLifeboatPrograms(soundAssets(deviceType))),
    devices: raspberryPis,
    toolVersion: '0.1.0',
  });
}

function withLifeboatPrograms({ runtime, ...assets }: Assets): Assets {
  if (runtime === undefined) throw new Error('the fixture has no runtime');
  const files = ['fallocate', 'filefrag'].map((name) => ({
    path: `runtime/lifeboat/${name}`,
    sizeBytes: 40_000,
    isExecutable: true,
  }));
  return { ...assets, runtime: { ...runtime, files: [...runtime.files, ...files] } };
}

const readFacts = (name: string): Facts =>
  JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;

describe('boards built by hand', () => {
  const names = readdirSync(machines).filter((name) => name.startsWith('pi-'));
  it('are there', () => expect(names.length).toBeGreaterThan(11));

  it.each(names)('%s gets its plan', async (name) => {
    const { plan, findings } = planFor(readFacts(name));
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect([plan?.grade, plan?.gradeReason]).toEqual(['A', undefined]);
    await expect(`${JSON.stringify(plan, null, 2)}\n`).toMatchFileSnapshot(join(machines, name, 'plan.json'));
  });
});

describe('the programs of stage 2', () => {
  const codes = (name: string, architecture: Architecture): readonly string[] => {
    const { findings } = planFor(readFacts(name), ({ runtime, ...assets }) => ({
      ...assets,
      ...(runtime === undefined ? {} : { runtime: { ...runtime, architecture } }),
    }));
    return findings.filter(({ severity }) => severity === 'error').map(({ code }) => code);
  };

  it('must be such as the running kernel starts', () => {
    expect(codes('pi-3-raspbian-9', 'arm')).toEqual([]);
    expect(codes('pi-4-raspbian-12-mixed', 'arm')).toEqual([]);
    expect(codes('pi-4-raspbian-12-mixed', 'aarch64')).toEqual([]);
    expect(codes('pi-3-raspbian-9', 'aarch64')).toEqual(['runtime-architecture']);
    expect(codes('pi-3-raspbian-9', 'x86_64')).toEqual(['runtime-architecture']);
  });
});
