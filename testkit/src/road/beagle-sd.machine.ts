import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BeagleRoad, fallsBack, startBeagleRoad } from './beagle-road.ts';
import { configYaml, oldNetworks } from './road.ts';
import { checkMigrated } from './road-test.ts';

const initramfs = '/boot/uboot/balena-migrate/stage2.img';
const program = '/var/lib/balena-migrate/payload/app/stage2.js';

describe('a BeagleBoard-xM whose card has a FAT with a uEnv.txt of its own', () => {
  let road: BeagleRoad;
  let before: string;
  let armed: string;
  beforeAll(async () => {
    road = await startBeagleRoad('sd');
    await road.machine.runShell('mkdir -p /etc/wpa_supplicant /etc/systemd/network');
    for (const [path, contents] of Object.entries(oldNetworks)) await road.machine.writeFile(path, contents);
    before = await road.bootState();
    const config = configYaml({ extra: ['all_wifis: true', 'staging: ram'] });
    await road.machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, config);
    const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect(exitCode, stdout + stderr).toBe(0);
    armed = await road.bootState();
  });
  afterAll(() => road?.close());

  it('becomes balenaOS, started once by a file on FAT', async () => {
    const copy = await road.fork();
    try {
      await checkMigrated(copy, { deviceType: 'beagleboard-xm', firmware: 'device-tree', hasStockName: true });
      const log = copy.machine.log();
      console.log(/peak memory of stage 2.*/.exec(log)?.[0]);
      expect(log).toMatch(/ROM: MLO of 0.*Starting stage 2.*ROM: MLO of 0.*BALENA-U-BOOT on 0/s);
    } finally {
      await copy.close();
    }
  });

  it('starts the old system again when the kernel panics', async () => {
    const spoil = `cp ${initramfs} /root/kept && echo nothing >${initramfs}`;
    const mend = `cat /root/kept >${initramfs}`;
    await fallsBack(road, { spoil, mend, sign: /Starting stage 2 of migrate.*Kernel panic/s });
  });

  it('starts the old system again when stage 2 throws, and undo leaves no trace', async () => {
    const spoil = `echo 'throw new Error("on purpose")' >${program}`;
    const sign = /on purpose.*FAILED: stage 2 ended with status 1 before the point of no return/s;
    await fallsBack(road, { spoil, mend: 'true', sign });
    const { stdout } = await road.migrate('status', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ state: 'fell-back' });
    expect(await road.bootState()).not.toBe(armed);
    const undone = await road.migrate('undo');
    expect(undone.exitCode, undone.stderr).toBe(0);
    expect(await road.bootState()).toBe(before);
  });
});
