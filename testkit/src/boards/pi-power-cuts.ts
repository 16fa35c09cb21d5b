// What a card boots whose Pi lost its power during a recorded migration: by the model of its firmware, which reads the card with
// mtools.
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { examineStates } from '../crash/disk-states.ts';
import { type LoggedWrite, openWriteLog } from '../crash/write-log.ts';
import { findSwitch, type RecordedStage2 } from '../lifeboat/recorded-migration.ts';
import type { PiRoad } from '../road/pi-road.ts';
import { firstFat, readBootPartition } from './pi-boot-partition.ts';
import { type BootFiles, type PiBoard, startPi } from './pi-firmware.ts';

const sectorBytes = 512;
/** More than the kernel writes to a card at once is rare. */
const joinedBytes = 64 * 1024;
/** Of the states after the switch `judgeByFirmware` takes each so manyth: a look takes a good part of a second. */
const strideAfterSwitch = 80;

export interface RecordedPi extends RecordedStage2 {
  readonly board: PiBoard;
  readonly isFlushed: (entry: LoggedWrite) => boolean;
  readonly joinedBytes: number;
}

/** A recorded migration that is over, and what is needed to judge it. */
export async function recordedPi({ recorded, machine, image, disk, board }: PiRoad): Promise<RecordedPi> {
  if (recorded === undefined) throw new Error('nothing was recorded');
  const way = 'partition';
  const options = { isFlushed: await changesOfSectorZero(recorded.log), joinedBytes };
  const found = await findSwitch({
    log: recorded.log,
    after: disk,
    way,
    stage1From: 0,
    said: machine.log(),
    ...options,
  });
  return { ...recorded, ...found, ...options, way, image, after: disk, board, directory: join(disk, '..') };
}

/**
 * A card is sent no flushes. For `judgeStage2` it is one with a cache, and of the flushes that the same code sends to the disk of a PC
 * only those around the switch and the commit count: the fewer there are, the more states.
 */
async function changesOfSectorZero(log: string): Promise<(entry: LoggedWrite) => boolean> {
  const writes = await openWriteLog(log, { joinedBytes });
  const changing = new Set<number>();
  let before: Buffer = Buffer.alloc(0);
  for (const entry of writes.entries) {
    if (entry.kind !== 'write' || entry.startByte >= sectorBytes) continue;
    const sector = await writes.data(entry, 0, sectorBytes);
    if (!sector.equals(before)) changing.add(entry.dataByte);
    before = sector;
  }
  await writes.close();
  return ({ dataByte }) => changing.has(dataByte);
}

/**
 * Counts what the firmware starts from a card that writes in order, after writes and in the middle of them: all of sector 0, and those to
 * where the old system's firmware reads; of these only some after the switch, as the image is written there. "old", "stage 2" with the
 * hash of its initramfs, "lifeboat", "new" or "bricked: …".
 */
export async function judgeByFirmware(pi: RecordedPi): Promise<Readonly<Record<string, number>>> {
  const { base, log, directory } = pi;
  const work = join(directory, 'firmware.state');
  const boot = await firstFat(base);
  const judge = await firmwareJudge(pi);
  let stride = 1;
  let others = 0;
  const chooses = ({ arrived: [write] }: { arrived: readonly { entry: LoggedWrite }[] }): boolean => {
    if (write === undefined || boot === undefined) return false;
    const { startByte } = write.entry;
    if (startByte < sectorBytes) {
      stride = strideAfterSwitch;
      return true;
    }
    if (startByte < boot.startByte || startByte >= boot.startByte + boot.sizeBytes) return false;
    others += 1;
    return others % stride === 0;
  };
  try {
    return await examineStates(
      { base, log, work, unitBytes: sectorBytes, joinedBytes, isFlushed: () => true, chooses },
      (state) => state.materialise(judge),
    );
  } finally {
    await rm(work);
  }
}

/** Says what a card starts. Old and new system are what the cards before and after start, to the byte. */
async function firmwareJudge({
  base,
  after,
  lifeboat,
  board,
  directory,
}: RecordedPi): Promise<(card: string) => Promise<string>> {
  const start = async (card: string): Promise<Started | string> =>
    started(board, await readBootPartition(card, directory));
  const [old, fresh] = [await start(base), await start(after)];
  const initramfsOfLifeboat = lifeboat.pieces.find(({ path }) => path === 'stage2.img')?.sha256;
  return async (card) => {
    const found = await start(card);
    if (typeof found === 'string') return `bricked: ${found}`;
    for (const [name, known] of Object.entries({ old, new: fresh }))
      if (JSON.stringify(found) === JSON.stringify(known)) return name;
    const { kernelDigest, initramfs, initramfsDigest, words } = found;
    if (typeof old !== 'string' && kernelDigest === old.kernelDigest && words.includes('rdinit=/migrate/init')) {
      if (initramfs === 'balena-migrate/stage2.img') return `stage 2 (${initramfsDigest})`;
      if (words.includes('migrate.lifeboat') && initramfsDigest === initramfsOfLifeboat) return 'lifeboat';
    }
    return `bricked: it starts with ${initramfs} and "${words.join(' ')}"`;
  };
}

interface Started {
  /** Names. */
  readonly initramfs: string;
  readonly words: readonly string[];
  /** Of the contents, with the device tree's. */
  readonly kernelDigest: string;
  readonly initramfsDigest: string;
  readonly overlays: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
}

/** Or why the firmware hangs. */
function started(board: PiBoard, files: BootFiles | undefined): Started | string {
  if (files === undefined) return 'there is no FAT partition that can be read';
  const start = startPi(board, files, false);
  if (start.kind === 'hangs') return start.why;
  const { kernel, deviceTree = '', initramfs, commandLine, overlays, settings } = start;
  const digest = (names: readonly string[]): string => {
    const hash = createHash('sha256');
    for (const name of names) hash.update(files.get(name) ?? new Uint8Array());
    return hash.digest('hex');
  };
  return {
    ...{ initramfs: initramfs.join(), words: commandLine.split(' '), overlays, settings },
    kernelDigest: digest([kernel, deviceTree]),
    initramfsDigest: digest(initramfs),
  };
}
