import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSmallDisk } from '../boards/uboot-disk.ts';
import { type BeagleRoad, fallsBack, startBeagleRoad } from './beagle-road.ts';
import { configYaml, oldNetworks } from './road.ts';
import { checkMigrated } from './road-test.ts';

const cardDirectory = '/run/card';
const cardFile = `${cardDirectory}/uEnv.txt`;

describe('a BeagleBone Black whose eMMC is one ext4, with an empty card in its slot', () => {
  let directory: string;
  let road: BeagleRoad;
  let before: string;
  /** What U-Boot takes, and what it takes where that is missing. */
  let deviceTree: string;
  let otherTree: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'migrate-card-'));
    const raw = join(directory, 'card');
    await makeSmallDisk(raw, { firstSector: 2048, partitions: [{ fileSystem: 'vfat', files: {} }] });
    const card = join(directory, 'card.qcow2');
    await execa('qemu-img', ['convert', '-O', 'qcow2', raw, card]);
    road = await startBeagleRoad('emmc', { card });
    await road.machine.runShell(
      `mkdir -p /etc/wpa_supplicant /etc/systemd/network ${cardDirectory} && mount /dev/mmcblk0p1 ${cardDirectory}`,
    );
    for (const [path, contents] of Object.entries(oldNetworks)) await road.machine.writeFile(path, contents);
    const release = (await road.machine.runShell('uname -r')).stdout.trim();
    deviceTree = `/boot/dtbs/${release}/am335x-boneblack.dtb`;
    otherTree = `/usr/lib/linux-image-${release}/am335x-boneblack.dtb`;
    before = await road.bootState();
  });
  afterAll(async () => {
    await road?.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('was started by the flow of its own image, from the eMMC, with the memory of a board', async () => {
    expect(road.machine.log()).toMatch(/ROM: raw loader of 1.*Loaded environment from \/boot\/uEnv\.txt.*root=UUID=/s);
    const { stdout } = await road.machine.runShell('cat /proc/meminfo');
    const [, kib] = /MemTotal: +(\d+) kB/.exec(stdout) ?? [];
    expect(Number(kib)).toBeLessThan(512 * 1024);
  });

  it('is refused without a device tree, and with a card that U-Boot would follow', async () => {
    const { machine } = road;
    // Without an image, which would only take time.
    await machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, 'migrate:\n  mode: pretend\n');
    await machine.runShell(`touch ${cardFile} && mv ${deviceTree} /root/first && mv ${otherTree} /root/other`);
    const { exitCode, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect(exitCode, stderr).toBe(3);
    expect(stderr).toContain('[beagle-device-tree]');
    expect(stderr).toContain('[beagle-card-first]');
    await machine.runShell(`rm ${cardFile} && mv /root/first ${deviceTree} && mv /root/other ${otherTree}`);
    expect(await road.bootState()).toBe(before);
  });

  describe('once it is armed', () => {
    beforeAll(async () => {
      const config = configYaml({ extra: ['all_wifis: true'] });
      await road.machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, config);
      const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes');
      expect(exitCode, stdout + stderr).toBe(0);
    });

    it('becomes balenaOS, started once by a sector before the first partition', async () => {
      const copy = await road.fork();
      try {
        await checkMigrated(copy, {
          deviceType: 'beaglebone-black',
          firmware: 'device-tree',
          hasStockName: true,
        });
        const log = copy.machine.log();
        console.log(/peak memory of stage 2.*/.exec(log)?.[0]);
        expect(log).toMatch(/ROM: raw loader of 1.*Starting stage 2.*ROM: MLO of 1.*BALENA-U-BOOT on 1/s);
      } finally {
        await copy.close();
      }
    });

    it('starts the old system when the device tree is gone since', async () => {
      const spoil = `mv ${deviceTree} /root/kept`;
      await fallsBack(road, { spoil, mend: `mv /root/kept ${deviceTree}`, sign: /Starting stage 2 of migrate/ });
    });

    it('starts the old system when the image has changed, and undo leaves no trace', async () => {
      const image = `${road.workDirectory}/balena.img.gz`;
      const spoil = `printf X | dd of=${image} bs=1 seek=1000000 conv=notrunc`;
      await fallsBack(road, { spoil, mend: 'true', sign: /has changed since stage 1/ });
      const { stdout } = await road.migrate('status', '--json');
      const reason = expect.stringContaining('has changed since stage 1');
      expect(JSON.parse(stdout)).toMatchObject({ state: 'fell-back', reason });
      const undone = await road.migrate('undo');
      expect(undone.exitCode, undone.stderr).toBe(0);
      expect(await road.bootState()).toBe(before);
    });
  });
});
