// Plans with a lifeboat beside Windows: when there is one, in which order its steps come, and what is said where there is none.
import type { Config, Plan, PlanResult } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { inspectWindows } from '../facts/inspect-windows.ts';
import type { WindowsDisk } from '../facts/windows-facts.ts';
import {
  bootParts,
  pcDevice,
  readerOf,
  runtime,
  windowsAssets,
  windowsConfig,
  windowsImage,
} from '../windows-fixture.ts';
import { makeWindowsPlan } from './make-windows-plan.ts';

const mebibyte = 1024 * 1024;
const sound = await inspectWindows(readerOf('windows-10-pro-gap'));

interface Changes extends Partial<Omit<Parameters<typeof makeWindowsPlan>[0], 'config'>> {
  readonly migrate?: Partial<Config['migrate']>;
}

function planOf({ migrate, ...change }: Changes = {}): PlanResult {
  return makeWindowsPlan({
    config: windowsConfig(migrate),
    facts: sound,
    assets: windowsAssets(),
    boot: bootParts,
    device: pcDevice,
    toolVersion: '0.1.0',
    ...change,
  });
}

function made({ plan, findings }: PlanResult): Plan {
  if (plan === undefined) throw new Error(JSON.stringify(findings.filter(({ severity }) => severity === 'error')));
  return plan;
}

const ids = (steps: Plan['stage1']): readonly string[] => steps.map(({ id }) => id);

function withDisk(change: (disk: WindowsDisk) => Partial<WindowsDisk>): Changes {
  return { facts: { ...sound, disks: sound.disks.map((disk) => ({ ...disk, ...change(disk) })) } };
}

describe('a machine with Windows and room behind the image', () => {
  it.each([
    ['boot-next', {}],
    ['boot-manager', { windowsBoot: 'boot-manager' as const }],
  ])('gets grade A, by %s', (_, way) => {
    const plan = made(planOf({ migrate: { ...way, requireGrade: 'A' } }));
    expect([plan.grade, plan.gradeReason]).toEqual(['A', undefined]);
  });

  it('has its partition behind the last byte of the image', () => {
    const sizeBytes = 100 * 1024 * mebibyte;
    const plan = made(planOf({ assets: windowsAssets({ image: windowsImage({ sizeBytes }) }) }));
    const fill = plan.stage2.find((step) => step.kind === 'fill-lifeboat');
    expect(fill?.fromByte).toBe(sizeBytes);
    expect(fill?.fileSystemStartByte).toBeGreaterThanOrEqual(sizeBytes);
    const make = plan.stage1.find((step) => step.kind === 'create-payload-partition');
    expect(make?.place.offsetBytes).toBe(fill?.fileSystemStartByte);
    expect(make?.sizeBytes).toBeGreaterThan(plan.spaces[0]?.needed.at(-2)?.bytes ?? Number.POSITIVE_INFINITY);
  });

  it('gets what the lifeboat is made of before it is armed', () => {
    const stage1 = ids(made(planOf()).stage1);
    expect(stage1.slice(stage1.indexOf('build-initramfs'))).toEqual([
      'build-initramfs',
      'copy-lifeboat-loader',
      'pack-payload',
      'reserve-lifeboat',
      'write-menu',
      'arm-boot-next',
    ]);
  });

  it('is made and proven in stage 2 before the firmware is switched to it, and then as everywhere', () => {
    const plan = made(planOf());
    expect(plan.pointOfNoReturn).toBe('switch-to-lifeboat');
    expect(ids(plan.stage2)).toEqual([
      'confirm-one-shot',
      'load-payload',
      'fill-lifeboat',
      'prove-lifeboat',
      'prove-image',
      'release-target',
      'set-lifeboat-boot-entry',
      'set-uefi-boot-entry',
      'switch-to-lifeboat',
      'flash-image',
      'verify-image',
      'configure-image',
      'commit-image',
      'leave-lifeboat',
    ]);
  });

  it('has the image in its payload, but not in RAM', () => {
    const plan = made(planOf());
    const load = plan.stage2.find((step) => step.kind === 'load-payload');
    expect(load?.files.map(({ name }) => name)).not.toContain('image');
    const copy = plan.stage1.find(({ id }) => id === 'copy-files');
    expect(JSON.stringify(copy)).toContain('/balena-migrate/payload/files/image');
    const fill = plan.stage2.find((step) => step.kind === 'fill-lifeboat');
    expect(fill?.data).toEqual([{ path: 'image', from: '/balena-migrate/payload/files/image' }]);
  });
});

/** Windows takes the whole disk and gives so much of it. */
function crowded(givenBytes: number): Changes {
  return withDisk(({ partitions, sizeBytes: diskSize }) => {
    const own = partitions.find(({ isBoot }) => isBoot);
    if (own?.volume === undefined) throw new Error('Windows lies there');
    const sizeBytes = diskSize - own.offsetBytes - mebibyte;
    const volume = { ...own.volume, sizeBytes, freeBytes: sizeBytes / 2 };
    const supportedSize = { minimumBytes: sizeBytes - givenBytes, maximumBytes: sizeBytes };
    const before = partitions.filter(({ offsetBytes }) => offsetBytes < own.offsetBytes);
    return { partitions: [...before, { ...own, sizeBytes, volume, supportedSize }] };
  });
}

const diskBytes = sound.disks.find(({ partitions }) => partitions.some(({ isBoot }) => isBoot))?.sizeBytes ?? 0;

const reasons: readonly (readonly [string, Changes, RegExp])[] = [
  ['the operator wants RAM', { migrate: { staging: 'ram' } }, /migrate.staging asks for RAM/],
  [
    'the bundle has no loader',
    {
      assets: windowsAssets({
        runtime: { ...runtime, files: runtime.files.filter(({ path }) => !path.includes('lifeboat')) },
      }),
    },
    /the bundle has no boot loader for a lifeboat/,
  ],
  ['no lifeboat is known', { device: { ...pcDevice, bootManagers: [] } }, /no lifeboat is known for pc/],
  [
    'the partition would begin in front of the image’s end',
    { assets: windowsAssets({ image: windowsImage({ sizeBytes: diskBytes - 300 * mebibyte }) }) },
    /no room for a lifeboat: .* would lie in the first \d+ MiB/,
  ],
  [
    'Windows gives room for stage 2 alone',
    crowded(340 * mebibyte),
    /no room for a lifeboat: .* Windows' partition can give \d+ MiB too little/,
  ],
];

describe('grade C beside Windows', () => {
  it.each(reasons)('is given where %s, and the plan says so', (_, changes, reason) => {
    const plan = made(planOf(changes));
    expect(plan.grade).toBe('C');
    expect(plan.gradeReason).toMatch(reason);
    expect([...ids(plan.stage1), ...ids(plan.stage2)].filter((id) => id.includes('lifeboat'))).toEqual([]);
  });

  it.each([
    ['require_grade: A', { requireGrade: 'A' as const, staging: 'ram' as const }, 'migrate.require_grade'],
    ['staging: lifeboat', { staging: 'lifeboat' as const }, 'migrate.staging'],
  ])('is refused by %s', (_, migrate, where) => {
    const { findings } = planOf({ migrate, device: { ...pcDevice, bootManagers: [] } });
    expect(findings).toContainEqual(expect.objectContaining({ code: 'grade-too-low', where }));
  });
});
