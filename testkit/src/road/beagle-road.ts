// The road on an emulated Beagle: everything lies on its disk beforehand.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { balenaImage } from '../balena-image.ts';
import { makeOldDisk } from '../boards/beagle-disk.ts';
import { type EmulatedBeagle, startEmulatedBeagle } from '../boards/beagle-emulator.ts';
import { romEnvironment } from '../boards/beagle-environment.ts';
import { boardOf, type Layout } from '../boards/beagle-old-systems.ts';
import { beagleTarget } from '../boards/beagle-target.ts';
import { oldSystemUp } from '../boards/old-system-units.ts';
import { bootFiles } from './boot-files.ts';
import { fillWorkDirectory, type Road, reboot, roadOn } from './road.ts';

export interface BeagleRoad extends Road {
  readonly machine: EmulatedBeagle;
  /** All that stage 1 may touch, as text: boot files, and the bytes before the first partition. */
  bootState(): Promise<string>;
  /**
   * The same road on a machine of its own, which starts with a copy of the disk as it is now and without the card beside it.
   * `isRecorded`: all that is written to that copy is, for an eMMC.
   */
  fork(options?: { readonly isRecorded?: boolean }): Promise<BeagleRoad>;
  /** The disk before, raw, and the log of all that was written to it since. */
  readonly recorded?: { readonly base: string; readonly log: string };
  /** Sets U-Boot's flag again, which every start spends. */
  arm(): Promise<void>;
}

/** The boot ROM's order of media: the eMMC where there is one, then the card. */
const media: Readonly<Record<Layout, readonly number[]>> = { emmc: [1, 0], sd: [0] };

const flagOf: Readonly<Record<Layout, string>> = {
  // 128 KiB before the first partition, which begins at 4 MiB.
  emmc: 'printf bmig | dd of=/dev/mmcblk1 bs=512 seek=7936 conv=notrunc,fsync',
  sd: 'printf bmig | dd of=/boot/uboot/bmigrate.flg conv=notrunc,fsync',
};

const bootPlaces: Readonly<
  Record<Layout, { readonly disk: string; readonly gapSectors: number; readonly more: string }>
> = {
  emmc: { disk: '/dev/mmcblk1', gapSectors: 8192, more: '/uEnv.txt' },
  sd: { disk: '/dev/mmcblk0', gapSectors: 63, more: '/boot/uboot' },
};

/** An old system, started by U-Boot and its own boot files, with everything that a migration needs. */
export async function startBeagleRoad(
  layout: Layout,
  options: { /** Beside the disk of the system. */ readonly card?: string } = {},
): Promise<BeagleRoad> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-road-'));
  const work = join(directory, 'work');
  await mkdir(work);
  const deviceType = boardOf[layout];
  const boot = await beagleTarget(deviceType);
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 1, boot });
  await fillWorkDirectory(work, { architecture: 'armv7', image, deviceType });
  const path = join(directory, 'disk.qcow2');
  await makeOldDisk({ layout, work, path });

  const roadOnDisk = async (
    disk: string,
    { card, recorded }: { readonly card?: string; readonly recorded?: BeagleRoad['recorded'] } = {},
  ): Promise<BeagleRoad> => {
    const firmware = romEnvironment(media[layout]);
    const machine = await startEmulatedBeagle({
      ...(card === undefined ? {} : { sd: card }),
      ...(recorded === undefined ? {} : { emmcLog: recorded.log, format: 'raw' }),
      [layout]: disk,
      firmware,
    });
    const road = roadOn({
      ...{ machine, image, disk, share: work, architecture: 'armv7', console: '/dev/ttyAMA0', isWired: false },
      close: () => machine.kill(),
    });
    const { disk: device, gapSectors, more } = bootPlaces[layout];
    return {
      ...road,
      machine,
      bootState: async () => {
        const gap = `dd if=${device} bs=${gapSectors * 512} count=1 iflag=direct status=none | sha256sum`;
        const elsewhere = `find ${more} -type f -exec sha256sum {} + 2>/dev/null | sort; true`;
        const { stdout } = await machine.runShell(`sync; ${gap}; ${elsewhere}`);
        return `${await bootFiles(machine)}\n${stdout}`;
      },
      arm: async () => {
        await machine.runShell(`${flagOf[layout]} 2>/dev/null; sync`);
      },
      ...(recorded === undefined ? {} : { recorded }),
      fork: async ({ isRecorded = false } = {}) => {
        const copy = join(directory, 'copy.qcow2');
        await machine.runShell('sync');
        await machine.paused(async () => {
          await execa('cp', ['--sparse=always', disk, copy]);
        });
        return isRecorded ? recordedOn(copy) : roadOnDisk(copy);
      },
    };
  };

  const recordedOn = async (copy: string): Promise<BeagleRoad> => {
    const [base, disk, log] = ['base.raw', 'disk.raw', 'writes.log'].map((name) => join(directory, name));
    if (base === undefined || disk === undefined || log === undefined) throw new Error('there are three names');
    await execa('qemu-img', ['convert', '-O', 'raw', copy, base]);
    await execa('cp', ['--sparse=always', base, disk]);
    await writeFile(log, '');
    return roadOnDisk(disk, { recorded: { base, log } });
  };

  const road = await roadOnDisk(path, options.card === undefined ? {} : { card: options.card });
  await road.machine.waitForAgent();
  return {
    ...road,
    close: async () => {
      await road.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Restarts an armed board after `spoil`, and waits for `sign`, and then for the old system. */
export async function fallsBack(
  road: BeagleRoad,
  { spoil, mend, sign }: { readonly spoil: string; readonly mend: string; readonly sign: RegExp },
): Promise<void> {
  const { machine } = road;
  await machine.runShell(spoil);
  await road.arm();
  await reboot(machine);
  await machine.waitFor(sign);
  await machine.waitFor(new RegExp(oldSystemUp));
  await machine.waitForAgent();
  await machine.runShell(mend);
}
