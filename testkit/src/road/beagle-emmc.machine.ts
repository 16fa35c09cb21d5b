import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgeRecorded } from '../boards/beagle-recorded.ts';
import { makeSmallDisk } from '../boards/uboot-disk.ts';
import { type BeagleRoad, fallsBack, startBeagleRoad } from './beagle-road.ts';
import { configYaml, failure, oldNetworks } from './road.ts';
import { checkMigrated } from './road-test.ts';

const timeoutMs = 600_000;
/** First sectors of raw loader and U-Boot. */
const oldLoaders = [0x20000, 0x60000];

async function clearSectors(disk: string, startBytes: readonly number[]): Promise<void> {
  const file = await open(disk, 'r+');
  for (const startByte of startBytes) await file.write(Buffer.alloc(512), 0, 512, startByte);
  await file.close();
}

/** Wherever the power had been cut, the board would have started; with a first loader that does not go on to FAT, but for the window. */
async function expectSafe({ recorded, image, disk, machine }: BeagleRoad): Promise<void> {
  if (recorded === undefined) throw new Error('nothing was recorded');
  const planId = /stage 2, plan ([0-9a-f]+)/.exec(machine.log())?.[1] ?? '';
  const cuts = { ...recorded, after: disk, image: image.raw, planId };
  const [goesOn, doesNot] = await judgeRecorded(cuts, ['raw, then FAT', 'raw only']);
  console.log(`a BeagleBone Black, cut in stage 2: ${JSON.stringify({ goesOn, doesNot })}`);
  expect(goesOn).toEqual({ old: 1, lifeboat: expect.any(Number), new: expect.any(Number) });
  expect(goesOn?.lifeboat).toBeGreaterThan(100);
  // Between clearing U-Boot and the commit nothing is written but the seven sectors that Linux writes with a single one, as they were; one
  // of them may be in the sample.
  expect(doesNot?.['bricked: the first loader finds no U-Boot']).toBeLessThanOrEqual(2);
  expect(Object.keys(doesNot ?? {}).sort()).toEqual([
    'bricked: the first loader finds no U-Boot',
    'lifeboat',
    'new',
    'old',
  ]);
}

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
      const config = configYaml({ extra: ['all_wifis: true', 'require_grade: B'] });
      await road.machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, config);
      const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes');
      expect(exitCode, stdout + stderr).toBe(0);
    });

    it('becomes balenaOS though its power is cut twice: the lifeboat starts by the old loaders, and by its own', async () => {
      const copy = await road.fork({ isRecorded: true });
      const { machine, disk } = copy;
      try {
        await machine.waitFor(/flashing.* [3-9]\d ?%/, { unless: failure, timeoutMs });
        machine.cutPower(async () => {});
        await machine.waitFor(/started from the lifeboat on \S+, the 1\. time/, { unless: failure, timeoutMs });
        // As the disk is in the middle of the commit.
        machine.cutPower(() => clearSectors(disk, oldLoaders));
        await checkMigrated(copy, {
          deviceType: 'beaglebone-black',
          firmware: 'device-tree',
          hasStockName: true,
          grade: 'B',
        });
        const log = machine.log();
        console.log(/peak memory of stage 2.*/.exec(log)?.[0]);
        const byOldLoaders = /ROM: raw loader of 1/.source;
        const lifeboat = /Starting the lifeboat of migrate/.source;
        const starts = [
          ...[byOldLoaders, /Starting stage 2 of migrate/.source],
          ...[byOldLoaders, lifeboat],
          ...[/ROM: MLO of 1/.source, lifeboat, /started from the lifeboat/.source],
          ...[/ROM: MLO of 1/.source, /BALENA-U-BOOT on 1/.source],
        ];
        expect(log).toMatch(new RegExp(starts.join('.*'), 's'));
        await expectSafe(copy);
      } finally {
        await copy.close();
      }
    });

    it('starts the old system when the device tree is gone since', async () => {
      const spoil = `mv ${deviceTree} /root/kept`;
      await fallsBack(road, { spoil, mend: `mv /root/kept ${deviceTree}`, sign: /Starting stage 2 of migrate/ });
    });

    it('starts the old system when the lifeboat is not whole, and undo leaves no trace', async () => {
      const place = '$(tr -dc 0-9 </var/lib/balena-migrate/payload/lifeboat.json)';
      const spoil = `printf X | dd of=/dev/mmcblk1 bs=1 seek=$((${place} + 33000000)) conv=notrunc`;
      await fallsBack(road, { spoil, mend: 'true', sign: /does not hold at byte/ });
      const { stdout } = await road.migrate('status', '--json');
      const reason = expect.stringContaining('does not hold at byte');
      expect(JSON.parse(stdout)).toMatchObject({ state: 'fell-back', reason });
      const undone = await road.migrate('undo');
      expect(undone.exitCode, undone.stderr).toBe(0);
      expect(await road.bootState()).toBe(before);
    });
  });
});
