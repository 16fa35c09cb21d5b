import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Road, startRoad } from './road.ts';
import { migrateAndCheck } from './road-test.ts';

describe('a Debian 12 machine with BIOS and MBR', () => {
  let road: Road;
  beforeAll(async () => {
    road = await startRoad({ shape: 'bios-mbr' });
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by itself', () => migrateAndCheck(road, { deviceType: 'genericx86-64-ext', firmware: 'bios' }));
});
