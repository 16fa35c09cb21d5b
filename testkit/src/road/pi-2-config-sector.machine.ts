import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgeByFirmware, type RecordedPi, recordedPi } from '../boards/pi-power-cuts.ts';
import { judgeStage2 } from '../lifeboat/judge-stage2.ts';
import { type PiRoad, startPiRoad } from './pi-road.ts';
import { failure } from './road.ts';
import { migrateAndCheck } from './road-test.ts';

describe('a Raspberry Pi 2 with 32-bit Debian and firmware that does not know tryboot', () => {
  let road: PiRoad;
  let pi: RecordedPi;
  beforeAll(async () => {
    road = await startPiRoad('stretch-32', 'raspberry-pi2', { isRecorded: true });
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by itself, though its power is cut while the card is written', async () => {
    const { machine } = road;
    await migrateAndCheck(road, {
      ...{ deviceType: 'raspberry-pi2', firmware: 'device-tree', grade: 'A' },
      meanwhile: async () => {
        await machine.waitFor(/flashing.* [4-9]\d ?%/, { unless: failure, timeoutMs: 600_000 });
        machine.cutPower();
      },
    });
    // One sector of config.txt starts stage 2; it is put back first.
    expect(machine.log()).toMatch(/stage 2 init.*\/config\.txt is restored.*the payload is on/s);
    expect(machine.log()).toContain('started from the lifeboat');
    expect(machine.starts).toMatchObject([
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: [] },
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: ['balena-migrate/stage2.img'] },
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: ['stage2.img'] },
      { configFile: 'config.txt', kernel: 'kernel7.img', initramfs: ['initrd'] },
    ]);
  });

  it('boots the old system, the lifeboat or the whole new system after a power cut at any write of stage 2', async () => {
    pi = await recordedPi(road);
    const { counts, bricked } = await judgeStage2(pi);
    console.log(`Pi 2, cut in stage 2: ${JSON.stringify(counts)}`);
    expect(bricked).toEqual([]);
    expect(counts.lifeboat).toBeGreaterThan(50);
    expect(counts.new).toBeGreaterThan(0);
    expect(counts.old).toBeGreaterThan(0);
  });

  it('boots one of them by its firmware, or whole stage 2, from before stage 1 on', async () => {
    const counts = await judgeByFirmware(pi);
    console.log(`Pi 2, by its firmware: ${JSON.stringify(counts)}`);
    const kinds = Object.keys(counts).map((said) => said.replace(/ \(.*\)/, ''));
    expect(kinds.sort()).toEqual(['lifeboat', 'new', 'old', 'stage 2']);
  });
});
