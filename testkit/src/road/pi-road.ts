// The road on an emulated Raspberry Pi: everything lies on its card beforehand.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { balenaImage } from '../balena-image.ts';
import { makePiCard, type PiCard } from '../boards/pi-card.ts';
import { type EmulatedPi, startEmulatedPi } from '../boards/pi-emulator.ts';
import type { PiBoard } from '../boards/pi-firmware.ts';
import { oldSystems, type PiSystemName } from '../boards/pi-old-systems.ts';
import { piTarget } from '../boards/pi-target.ts';
import { fillWorkDirectory, type Road, roadOn } from './road.ts';

export interface PiRoad extends Road {
  readonly machine: EmulatedPi;
  readonly board: PiBoard;
  /** Of the old system. */
  readonly bootDirectory: string;
  /** The card before, and the log of all that was written to it since. */
  readonly recorded?: { readonly base: string; readonly log: string };
  /** The same road on a machine of its own, which starts from a copy of the card as it is now, by tryboot. */
  fork(): Promise<PiRoad>;
}

/** A Pi whose old system is up. */
export async function startPiRoad(
  name: PiSystemName,
  deviceType: string,
  { isRecorded = false }: { readonly isRecorded?: boolean } = {},
): Promise<PiRoad> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-road-'));
  const work = join(directory, 'work');
  await mkdir(work);
  const architecture = oldSystems[name].architecture === 'arm64' ? 'arm64' : 'armv7';
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 2, boot: await piTarget(name) });
  await fillWorkDirectory(work, { architecture, image, deviceType });
  const built = await makePiCard(name, { directory, work });

  const roadWith = async (card: PiCard, { trybootFlag }: { trybootFlag: boolean }): Promise<PiRoad> => {
    const machine = await startEmulatedPi(card, trybootFlag);
    const { bootDirectory, console } = oldSystems[name];
    const road = roadOn({
      ...{ machine, image, disk: card.card, share: work, architecture, console: `/dev/${console}`, isWired: false },
      close: () => machine.kill(),
    });
    const fork = async (): Promise<PiRoad> => {
      const copy = join(directory, 'copy.img');
      // So that nothing is written while the card is copied.
      const places = [bootDirectory, '/'];
      const remount = (option: string) =>
        machine.runShell(places.map((place) => `mount -o remount,${option} ${place}`).join(' && '));
      await remount('ro');
      await execa('cp', ['--sparse=always', card.card, copy]);
      await remount('rw');
      return roadWith({ ...card, card: copy }, { trybootFlag: true });
    };
    return { ...road, machine, board: card.board, bootDirectory, fork };
  };

  const recorded = isRecorded ? await recording(directory, built) : undefined;
  const writeLog = recorded === undefined ? {} : { writeLog: recorded.log };
  const road = await roadWith({ ...built, ...writeLog }, { trybootFlag: false });
  await road.machine.waitForAgent();
  return {
    ...road,
    ...(recorded === undefined ? {} : { recorded }),
    close: async () => {
      await road.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function recording(directory: string, { card }: PiCard): Promise<NonNullable<PiRoad['recorded']>> {
  const [base, log] = [join(directory, 'base.img'), join(directory, 'writes.log')];
  await execa('cp', ['--sparse=always', card, base]);
  await writeFile(log, '');
  return { base, log };
}
