import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PiRoad, startPiRoad } from './pi-road.ts';
import { migrateAndCheck } from './road-test.ts';

describe('a Raspberry Pi 2 with 32-bit Debian and firmware that does not know tryboot', () => {
  let road: PiRoad;
  beforeAll(async () => {
    road = await startPiRoad('stretch-32', 'raspberry-pi2');
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by itself, started by one sector of config.txt that is put back first', async () => {
    await migrateAndCheck(road, { deviceType: 'raspberry-pi2', firmware: 'device-tree' });
    expect(road.machine.log()).toMatch(/stage 2 init.*\/config\.txt is restored.*the payload is on/s);
    expect(road.machine.starts).toMatchObject([
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: [] },
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: ['balena-migrate/stage2.img'] },
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: ['initrd'] },
    ]);
  });
});
