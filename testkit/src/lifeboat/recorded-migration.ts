// A whole migration of a Debian machine with a lifeboat, of which every write to the disk is recorded.
import { copyFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteRange, createNodeHost, type LifeboatRecord, readLifeboatRecord } from '@migrate/core';
import { execa } from 'execa';
import { type BalenaImage, balenaImage } from '../balena-image.ts';
import { openWriteLog } from '../crash/write-log.ts';
import { debianDisk, mountShare, oldSystemUp } from '../debian-disk.ts';
import { type Pc, startPc } from '../pc.ts';
import { fillWorkDirectory, roadOn, takeShare } from '../road/road.ts';
import { migrateAndCheck } from '../road/road-test.ts';

export type LifeboatShape = 'bios-mbr' | 'uefi';

export interface RecordedMigration {
  readonly shape: LifeboatShape;
  readonly image: BalenaImage;
  /** The disk before, raw. */
  readonly base: string;
  /** It when the new system had run. */
  readonly after: string;
  /** UEFI variables when stage 2 started. */
  readonly variables: string;
  /** When it switched the firmware to the lifeboat: the boot entries of the lifeboat and of the new system are there. */
  readonly variablesAtSwitch: string;
  readonly log: string;
  /** Number of entries of the log when stage 1 began. */
  readonly stage1From: number;
  /** Number of entries that were durable before the one that switches the firmware to the lifeboat was written. */
  readonly stage2From: number;
  /** Number of that one. GRUB may have written its environment block since the last flush. */
  readonly switchedAt: number;
  readonly lifeboat: LifeboatRecord;
  /** Where stage 2 made the lifeboat. */
  readonly rearming?: Rearming;
  /** From the start of stage 2 to the end of the new system. */
  readonly stage2Ms: number;
  /** For whoever works with it. */
  readonly directory: string;
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
  const built = await debianDisk(shape);
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
    ...(firmware === 'uefi' ? { uefiVariables: running, bootsByVariables: true } : {}),
  });
  const watch = watchStage2(machine, (moment) => {
    if (firmware === 'uefi') copyFileSync(running, moment === 'start' ? variables : variablesAtSwitch);
  });
  try {
    await oldSystemUp(machine);
    await mountShare(machine);
    await takeShare(machine);
    if (options.isFull === true) await machine.runShell(filling);
    const stage1From = await entriesOf(log);
    const road = roadOn({
      ...{ machine, image, disk: after, share, console: '/dev/ttyS0', isWired: true, architecture: 'x64' },
      close: () => machine.kill(),
    });
    await migrateAndCheck(road, { deviceType, firmware, grade: 'A' });
    const planId = /stage 2, plan ([0-9a-f]+)/.exec(machine.log())?.[1] ?? '';
    const { stage2From, switchedAt, lifeboat } = await findSwitch({ log, after, planId, shape, stage1From });
    const rearming = options.isFull === true ? await findRearming(log, stage1From) : undefined;
    return {
      ...(rearming === undefined ? {} : { rearming }),
      ...{ shape, image, base, after, variables, variablesAtSwitch, log, directory },
      ...{ stage1From, stage2From, switchedAt, lifeboat },
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

function watchStage2(machine: Pc, onMoment: (moment: 'start' | 'switch') => void): { readonly stage2Ms: () => number } {
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

/** The sector that was written says where the lifeboat begins, and there it says of itself what it is. */
async function findSwitch({
  log,
  after,
  planId,
  shape,
  stage1From,
}: {
  log: string;
  after: string;
  planId: string;
  shape: LifeboatShape;
  stage1From: number;
}): Promise<{ readonly stage2From: number; readonly switchedAt: number; readonly lifeboat: LifeboatRecord }> {
  const place = shape === 'uefi' ? sectorBytes : 0;
  const writes = await openWriteLog(log);
  const disk = await createNodeHost().openRead(after);
  try {
    for (const [index, entry] of writes.entries.entries()) {
      const isThere = entry.startByte <= place && entry.startByte + entry.sizeBytes >= place + sectorBytes;
      if (index < stage1From || entry.kind !== 'write' || !isThere) continue;
      const sector = await writes.data(entry, place - entry.startByte, sectorBytes);
      const startByte =
        sectorBytes * (shape === 'uefi' ? Number(sector.readBigUInt64LE(72)) - 16 : sector.readUInt32LE(502));
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
