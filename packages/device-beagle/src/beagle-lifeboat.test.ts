// Which grade a board gets, and what the plan says of it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Assets, type Config, type Facts, makePlan, type PlanResult } from '@migrate/core';
import { soundConfig } from '@migrate/core/testing';
import { describe, expect, it } from 'vitest';
import { lifeboatAssets } from './beagle-fixture.ts';
import { beagles } from './beagles.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

interface Changes {
  readonly facts?: (facts: Facts) => Facts;
  readonly assets?: (assets: Assets) => Assets;
  readonly migrate?: Partial<Config['migrate']>;
}

function planOf(
  name: string,
  { facts = (each) => each, assets = (each) => each, migrate = {} }: Changes = {},
): PlanResult {
  const known = JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
  const deviceType = beagles.find((device) => device.matches(known))?.deviceTypes[0] ?? '';
  const config = soundConfig();
  return makePlan({
    config: { ...config, migrate: { ...config.migrate, ...migrate } },
    facts: facts(known),
    assets: assets(lifeboatAssets(deviceType)),
    devices: beagles,
    toolVersion: '1.0.0',
  });
}

const onFat = 'beagleboard-xm-debian-9';
const before = 'beaglebone-black-debian-9';
const loaders = { endByte: 4 * 1024 * 1024, cleared: [0x20000, 0x60000], last: [0] };

/** Whose gap may hold anything. */
const withoutGap = ({ image, ...assets }: Assets): Assets => {
  if (image === undefined || !('chunkBytes' in image)) throw new Error('the fixture has no image');
  const { hasEmptyGap: _, ...others } = image;
  return { ...assets, image: others };
};

const withoutArea =
  (place: number) =>
  (facts: Facts): Facts => ({
    ...facts,
    bootAreas: (facts.bootAreas ?? []).map((area) => {
      if (area.startByte !== place || !area.path.startsWith('/dev/mmcblk')) return area;
      const { contents: _, ...empty } = area;
      return empty;
    }),
  });

describe('a board whose loaders lie on FAT', () => {
  it('gets grade A, as nothing but sector 0 decides', () => {
    const { plan } = planOf(onFat, { migrate: { requireGrade: 'A' } });
    expect([plan?.grade, plan?.gradeReason, plan?.window]).toEqual(['A', undefined, undefined]);
    expect(plan?.stage2.some((step) => 'loaders' in step)).toBe(false);
  });

  it('gets grade B for an image that may have loaders before its partitions', () => {
    const { plan } = planOf(onFat, { assets: withoutGap });
    expect(plan?.grade).toBe('B');
    expect(plan?.window?.bytes).toBe(loaders.endByte);
    const last = [0x60000, 0, 0x40000, 0x20000];
    expect(plan?.stage2.find(({ kind }) => kind === 'commit-image')).toMatchObject({ loaders: { cleared: [], last } });
  });
});

describe('a board whose loaders lie before the partitions', () => {
  it('gets grade B with a window of two sectors, and clears them before the commit', () => {
    const { plan } = planOf(before);
    expect([plan?.grade, plan?.window]).toEqual(['B', { bytes: 1024, seconds: 2 }]);
    expect(plan?.gradeReason).toMatch(/not every first loader/);
    for (const kind of ['flash-image', 'verify-image', 'commit-image'])
      expect(plan?.stage2.find((step) => step.kind === kind)).toMatchObject({ loaders });
  });

  it.each(['B', 'C'] as const)('is enough for require_grade: %s', (requireGrade) => {
    expect(planOf(before, { migrate: { requireGrade, staging: 'lifeboat' } }).plan?.grade).toBe('B');
  });

  it('is refused by require_grade: A, which names the window', () => {
    const { plan, findings } = planOf(before, { migrate: { requireGrade: 'A' } });
    expect(plan).toBeUndefined();
    expect(findings).toContainEqual(
      expect.objectContaining({
        code: 'grade-too-low',
        where: 'migrate.require_grade',
        message: expect.stringMatching(/while 1024 bytes are written \(about 2 s\) may leave .*\(grade B\)/),
      }),
    );
  });
});

describe('grade C', () => {
  const withGpt = (facts: Facts): Facts => ({
    ...facts,
    disks: facts.disks.map((disk) => ({ ...disk, table: { kind: 'gpt', id: disk.table?.id ?? '' } })),
  });
  const reasons: readonly (readonly [string, string, Changes, RegExp])[] = [
    ['the disk has a GPT', before, { facts: withGpt }, /both the disk and the image need/],
    ['the first loader does not say its size', before, { facts: withoutArea(0x20000 + 512) }, /how large it is/],
    [
      'no U-Boot is where the first loader takes it from',
      before,
      { facts: withoutArea(0x60000) },
      /U-Boot does not lie/,
    ],
    ['the first loader is nowhere', before, { facts: withoutArea(0x20000) }, /neither before partition 1 nor on it/],
    [
      'a file of the loaders is missing on FAT',
      onFat,
      {
        facts: (facts) => ({
          ...facts,
          bootListing: (facts.bootListing ?? []).filter(({ path }) => !path.endsWith('/MLO')),
        }),
      },
      /has not both of/,
    ],
  ];
  it.each(reasons)('is given where %s', (_name, machine, changes, reason) => {
    const { plan, findings } = planOf(machine, changes);
    expect(plan?.grade, JSON.stringify(findings)).toBe('C');
    expect(plan?.gradeReason).toMatch(reason);
  });
});
