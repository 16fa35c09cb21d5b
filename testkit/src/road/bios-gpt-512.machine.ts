import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Road, startRoad } from './road.ts';
import { migrateAndCheck } from './road-test.ts';

describe('a Debian 12 machine with BIOS, GPT and 512 MiB of RAM', () => {
  let road: Road;
  beforeAll(async () => {
    road = await startRoad({ shape: 'bios-gpt', memoryMib: 512, deviceType: 'generic-amd64', payloadMib: 136 });
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by itself with an image of 150 MiB', async () => {
    expect(road.image.fileBytes).toBeGreaterThan(150 * 1024 * 1024);
    await migrateAndCheck(road, { deviceType: 'generic-amd64', firmware: 'bios' });
  });
});
