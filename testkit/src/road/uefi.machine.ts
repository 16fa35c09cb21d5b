import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Road, startRoad } from './road.ts';
import { migrateAndCheck } from './road-test.ts';

describe('a Debian 12 machine with UEFI', () => {
  let road: Road;
  beforeAll(async () => {
    road = await startRoad({ shape: 'uefi', deviceType: 'intel-nuc', packing: 'zstd' });
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by itself with an image packed with zstd', () =>
    migrateAndCheck(road, { deviceType: 'intel-nuc', firmware: 'uefi' }));
});
