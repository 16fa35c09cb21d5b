import type { Assets, Finding, PlanResult } from '@migrate/core';
import { expect, it } from 'vitest';
import { planWithRoom } from './plan-with-room.ts';

const mebibyte = 2 ** 20;
const assets: Assets = {
  connections: [],
  findings: [],
  backup: { volumes: [], archiveBytes: 100 * mebibyte, isMeasured: false, unpackedBytes: 0 },
};

function planFor(roomBytes: number): (assets: Assets) => PlanResult {
  const shortage: Finding = { severity: 'error', code: 'backup-too-large', where: '', message: '', hint: '' };
  return ({ backup }) => ({ findings: (backup?.archiveBytes ?? 0) > roomBytes ? [shortage] : [] });
}

function measuring(bytes: number) {
  const calls: number[] = [];
  const measure = async (): Promise<number> => {
    calls.push(bytes);
    return bytes;
  };
  return { calls, measure };
}

it('compresses nothing where a backup fits as it is', async () => {
  const { calls, measure } = measuring(mebibyte);
  expect(await planWithRoom(assets, { plan: planFor(200 * mebibyte), measure })).toEqual({ findings: [] });
  expect(calls).toEqual([]);
});

it('takes the measured size, with room to grow, where it does not', async () => {
  const { calls, measure } = measuring(10 * mebibyte);
  expect(await planWithRoom(assets, { plan: planFor(12 * mebibyte), measure })).toEqual({ findings: [] });
  expect(calls.length).toBe(1);
  expect((await planWithRoom(assets, { plan: planFor(10 * mebibyte), measure })).findings.length).toBe(1);
});

it('measures nothing without a backup', async () => {
  const { calls, measure } = measuring(1);
  const { backup: _, ...others } = assets;
  const short: Finding = { severity: 'error', code: 'memory-too-small', where: '', message: '', hint: '' };
  expect((await planWithRoom(others, { plan: () => ({ findings: [short] }), measure })).findings).toEqual([short]);
  expect(calls).toEqual([]);
});
