// A whole migration of a Debian machine with a lifeboat, of which every write to the disk is recorded.
import { copyFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ByteRange,
  createNodeHost,
  type LifeboatRecord,
  type LifeboatWay,
  readLifeboatRecord,
} from '@migrate/core';
import { execa } from 'execa';
import { type BalenaImage, balenaImage } from '../balena-image.ts';
import { openWriteLog, type WriteLogOptions } from '../crash/write-log.ts';
import { bootedDisk, mountShare } from '../debian-disk.ts';
import { type Pc, startPc } from '../pc.ts';
import { fillWorkDirectory, roadOn, takeShare } from '../road/road.ts';
import { migrateAndCheck } from '../road/road-test.ts';

export type LifeboatShape = 'bios-mbr' | 'uefi';

/** What stage 2 of a recorded migration is judged by. */
export interface RecordedStage2 {
  readonly way: LifeboatWay['kind'];
  readonly image: BalenaImage;
  /** The disk before the first write of the log, raw. */
  readonly base: string;
  /** It when the new system had run. */
  readonly after: string;
  readonly log: string;
  /** Number of entries that were durable before the one that switches the firmware to the lifeboat was written. */
  readonly stage2From: number;
  /** Number of that one. GRUB may have written its environment block since the last flush. */
  readonly switchedAt: number;
  readonly lifeboat: LifeboatRecord;
  /** Where stage 2 made the lifeboat over files of the old system. */
  readonly rearming?: Rearming;
  /** For whoever works with it. */
  readonly directory: string;
}

export interface RecordedMigration extends RecordedStage2 {
  readonly shape: LifeboatShape;
  /** UEFI variables when stage 2 started. */
  readonly variables: string;
  /** When it switched the firmware to the lifeboat: the boot entries of the lifeboat and of the new system are there. */
  readonly variablesAtSwitch: string;
  /** Number of entries of the log when stage 1 began. */
  readonly stage1From: number;
  /** From the start of stage 2 to the end of the new system. */
  readonly stage2Ms: number;
  close(): Promise<void>;
}

export interface RecordOptions {
  readonly shape: LifeboatShape;
  readonly deviceType: string;
  readonly memoryMib: number;
  readonly payloadMib: number;
  /** The old file system is so full that stage 2 has to make the lifeboat. */
  readonly isFull?: true;
}

/** When and where stage 2 took the old system out of service, before it made a lifeboat over it. */
export interface Rearming {
  /** Number of entries of the log that were durable before the write that did. */
  readonly from: number;
  readonly at: number;
  /** What it wrote, and in it the first sector of GRUB's environment block. */
  readonly environment: ByteRange;
  readonly startByte: number;
}

const sectorBytes = 512;
/** The page cache may make more of a sector. */
const environmentWriteBytes = 64 * 1024;

/** Migrates; what the new system and its disk say is checked. */
export async function recordMigration(options: RecordOptions): Promise<RecordedMigration> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-recorded-'));
  try {
    return await recordIn(directory, options);
  } catch (thrown) {
    await rm(directory, { recursive: true, force: true });
    throw thrown;
  }
}

async function recordIn(directory: string, options: RecordOptions): Promise<RecordedMigration> {
  const { shape, deviceType, memoryMib, payloadMib } = options;
  const file = (name: string): string => join(directory, name);
  const [base, after, log, share] = [file('base.raw'), file('disk.raw'), file('writes.log'), file('share')];
  const [variables, variablesAtSwitch, running] = [file('variables.fd'), file('switch.fd'), file('running.fd')];
  const firmware = shape === 'uefi' ? 'uefi' : 'bios';
  const image = await balenaImage({ table: shape === 'uefi' ? 'gpt' : 'mbr', deviceType, payloadMib });
  await mkdir(share);
  await fillWorkDirectory(share, { architecture: 'x64', image, deviceType });
  const built = await bootedDisk(shape, memoryMib);
  await execa('qemu-img', ['convert', '-O', 'raw', built.disk, base]);
  await execa('cp', ['--sparse=always', base, after]);
  await writeFile(log, '');
  if (built.uefiVariables !== undefined)
    await execa('qemu-img', ['convert', '-O', 'raw', built.uefiVariables, running]);
  const machine = await startPc({
    firmware,
    memoryMib,
    disks: [{ path: after, format: 'raw', serial: 'BROWNFIELD', writeLog: log }],
    share,
    state: built.state,
    ...(firmware === 'uefi' ? { uefiVariables: running, bootsByVariables: true } : {}),
  });
  const watch = watchStage2(machine, (moment) => {
    if (firmware === 'uefi') copyFileSync(running, moment === 'start' ? variables : variablesAtSwitch);
  });
  try {
    await mountShare(machine);
    await takeShare(machine);
    if (options.isFull === true) await machine.runShell(filling);
    const stage1From = await entriesOf(log);
    const road = roadOn({
      ...{ machine, image, disk: after, share, console: '/dev/ttyS0', isWired: true, architecture: 'x64' },
      close: () => machine.kill(),
    });
    await migrateAndCheck(road, { deviceType, firmware, grade: 'A' });
    const way = shape === 'uefi' ? 'gpt' : 'mbr';
    const switched = await findSwitch({ log, after, way, stage1From, said: machine.log() });
    const rearming = options.isFull === true ? await findRearming(log, stage1From) : undefined;
    return {
      ...(rearming === undefined ? {} : { rearming }),
      ...{ way, shape, image, base, after, variables, variablesAtSwitch, log, directory },
      ...{ stage1From, ...switched },
      stage2Ms: watch.stage2Ms(),
      close: () => rm(directory, { recursive: true, force: true }),
    };
  } finally {
    await machine.kill();
  }
}

/** Room for stage 1 stays; what is only reserved lies between what is written. */
const filling = `set -e
mkdir /srv/filler
cd /srv/filler
for number in $(seq 40); do
  head -c 1000000 /dev/urandom >written-$number
  fallocate -l 9M reserved-$number || break
  [ $(df --output=avail -k / | tail -n 1) -gt 290000 ] || break
done
rest=$(($(df --output=avail -k / | tail -n 1) - 230000))
[ $rest -le 0 ] || fallocate -l "\${rest}k" reserved
sync`;

async function findRearming(log: string, stage1From: number): Promise<Rearming> {
  const writes = await openWriteLog(log);
  try {
    for (const [index, entry] of writes.entries.entries()) {
      if (index < stage1From || entry.kind !== 'write' || entry.sizeBytes > environmentWriteBytes) continue;
      const bytes = await writes.data(entry, 0, entry.sizeBytes);
      const place = bytes.indexOf('# GRUB Environment Block\n');
      if (place < 0 || !bytes.includes('\nmigrate_always=')) continue;
      const flushed = writes.entries.findLastIndex(({ kind }, number) => kind === 'flush' && number < index);
      const environment = { startByte: entry.startByte, endByte: entry.startByte + entry.sizeBytes };
      return { from: flushed + 1, at: index, environment, startByte: entry.startByte + place };
    }
    throw new Error('no write made GRUB start stage 2 every time');
  } finally {
    await writes.close();
  }
}

/** Tells of two moments of stage 2 when they come. */
export function watchStage2(
  machine: Pc,
  onMoment: (moment: 'start' | 'switch') => void,
): { readonly stage2Ms: () => number } {
  // The plan that is shown before names the same steps.
  const moments = {
    start: 'migrate: stage 2 init',
    switch: '> make the firmware boot the lifeboat',
    end: 'NEWOS-DONE',
  };
  const reached = { start: 0, switch: 0, end: 0 };
  machine.onSerial(() => {
    for (const moment of ['start', 'switch', 'end'] as const) {
      if (reached[moment] !== 0 || !machine.log().includes(moments[moment])) continue;
      reached[moment] = Date.now();
      if (moment !== 'end') onMoment(moment);
    }
  });
  return { stage2Ms: () => reached.end - reached.start };
}

async function entriesOf(log: string): Promise<number> {
  const writes = await openWriteLog(log);
  await writes.close();
  return writes.entries.length;
}

/** Where the sector lies that switches, and what it says of the sector where the lifeboat begins. */
const switches: Readonly<Record<LifeboatWay['kind'], { readonly place: number; startSector(sector: Buffer): number }>> =
  {
    mbr: { place: 0, startSector: (sector) => sector.readUInt32LE(502) },
    partition: { place: 0, startSector: (sector) => sector.readUInt32LE(454) },
    gpt: { place: sectorBytes, startSector: (sector) => Number(sector.readBigUInt64LE(72)) - 16 },
  };

/** Finds the write that switched, and the lifeboat, which says of itself what it is. */
export async function findSwitch({
  log,
  after,
  way,
  stage1From,
  said,
  ...options
}: WriteLogOptions & {
  readonly log: string;
  readonly after: string;
  readonly way: LifeboatWay['kind'];
  readonly stage1From: number;
  /** By the machine. */
  readonly said: string;
}): Promise<Pick<RecordedStage2, 'stage2From' | 'switchedAt' | 'lifeboat'>> {
  const planId = /stage 2, plan ([0-9a-f]+)/.exec(said)?.[1] ?? '';
  const { place, startSector } = switches[way];
  const writes = await openWriteLog(log, options);
  const disk = await createNodeHost().openRead(after);
  try {
    for (const [index, entry] of writes.entries.entries()) {
      const isThere = entry.startByte <= place && entry.startByte + entry.sizeBytes >= place + sectorBytes;
      if (index < stage1From || entry.kind !== 'write' || !isThere) continue;
      const startByte = sectorBytes * startSector(await writes.data(entry, place - entry.startByte, sectorBytes));
      const flushed = writes.entries.findLastIndex(({ kind }, number) => kind === 'flush' && number < index);
      return {
        stage2From: flushed + 1,
        switchedAt: index,
        lifeboat: await readLifeboatRecord(disk, { startByte, planId }),
      };
    }
    throw new Error('no write switched the firmware to a lifeboat');
  } finally {
    await disk.close();
    await writes.close();
  }
}
