// The road on an emulated Beagle.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { balenaImage } from '../balena-image.ts';
import { romEnvironment } from '../boards/beagle-environment.ts';
import { type BeagleMachine, startBeagle } from '../boards/beagle-machine.ts';
import { boardOf, type Layout, makeOldDisk } from '../boards/beagle-old-systems.ts';
import { beagleTarget } from '../boards/beagle-target.ts';
import { fillWorkDirectory, type Road, roadOn } from './road.ts';

export interface BeagleRoad extends Road {
  readonly machine: BeagleMachine;
}

/** The boot ROM's order of media: the eMMC where there is one, then the card. */
export const romOf: Readonly<Record<Layout, ReturnType<typeof romEnvironment>>> = {
  emmc: romEnvironment([1, 0]),
  sd: romEnvironment([0]),
};

/** An old system, started by U-Boot and its own boot files, with everything that a migration needs. */
export async function startBeagleRoad(layout: Layout): Promise<BeagleRoad> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-road-'));
  const share = join(directory, 'share');
  await mkdir(share);
  const deviceType = boardOf[layout];
  const boot = await beagleTarget(deviceType);
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 1, boot });
  await fillWorkDirectory(share, { architecture: 'armv7', image, deviceType });
  const disk = join(directory, 'disk.qcow2');
  await makeOldDisk({ layout, work: share, path: disk });
  const machine = await startBeagle({ [layout]: disk, firmware: romOf[layout] });
  await machine.waitForAgent();
  const road = roadOn({
    ...{ machine, image, disk, share, architecture: 'armv7', console: '/dev/ttyAMA0', isWired: false },
    close: async () => {
      await machine.kill();
      await rm(directory, { recursive: true, force: true });
    },
  });
  return { ...road, machine };
}
