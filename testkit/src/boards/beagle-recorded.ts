// A recorded migration of an emulated Beagle's eMMC, cut at each of its writes. An SD card of QEMU 7.2 has no cache: what was
// written is there, in order, so that the states are those between two writes, and those in which one was torn.
import { type FileHandle, open } from 'node:fs/promises';
import { createNodeHost, readLifeboatRecord, writtenRanges } from '@migrate/core';
import { openFat, proveImage } from '@migrate/image-tools';
import { execa } from 'execa';
import { openWriteLog, type WriteLog } from '../crash/write-log.ts';
import { beagleJudge, type FirstLoader, type JudgedMigration, type JudgedState, type Loaders } from './beagle-judge.ts';

const sectorBytes = 512;
const [rawLoaderByte, rawUbootByte] = [0x20000, 0x60000];

export interface RecordedBeagle {
  /** The disk before, and when the new system had run; raw. */
  readonly base: string;
  readonly after: string;
  readonly log: string;
  /** The image itself. */
  readonly image: string;
  readonly planId: string;
}

/** Counts what the board starts after each cut, from the switch to the lifeboat on. */
export async function judgeRecorded(
  recorded: RecordedBeagle,
  firstLoader: FirstLoader,
): Promise<Readonly<Record<string, number>>> {
  const writes = await openWriteLog(recorded.log);
  const work = `${recorded.log}.state`;
  await execa('cp', ['--sparse=always', recorded.base, work]);
  const [file, after] = [await open(work, 'r+'), await open(recorded.after)];
  try {
    const { switchedAt, boatByte } = await findSwitch(writes);
    const judge = beagleJudge(await migrationOf(recorded, { after, boatByte }), firstLoader);
    const counts: Record<string, number> = {};
    const touched: { readonly startByte: number; readonly endByte: number }[] = [];
    const state: JudgedState = {
      read: (startByte, sizeBytes) => readAt(file, startByte, sizeBytes),
      isTouched: ({ startByte, endByte }) =>
        touched.some((range) => range.startByte < endByte && startByte < range.endByte),
    };
    const count = async (): Promise<void> => {
      const said = await judge(state);
      counts[said] = (counts[said] ?? 0) + 1;
    };
    for (const [index, entry] of writes.entries.entries()) {
      if (index === switchedAt) await count();
      if (entry.sizeBytes === 0) continue;
      const data = await writes.data(entry, 0, entry.sizeBytes);
      const half = Math.floor(entry.sizeBytes / sectorBytes / 2) * sectorBytes;
      const { startByte } = entry;
      if (index >= switchedAt) touched.push({ startByte, endByte: startByte + entry.sizeBytes });
      await file.write(data, 0, half, startByte);
      if (index >= switchedAt && half > 0) await count();
      await file.write(data, half, entry.sizeBytes - half, startByte + half);
      if (index >= switchedAt) await count();
    }
    return counts;
  } finally {
    await file.close();
    await after.close();
    await writes.close();
  }
}

/** The first write to sector 0, and where its partition 1 begins. */
async function findSwitch(writes: WriteLog): Promise<{ readonly switchedAt: number; readonly boatByte: number }> {
  const switchedAt = writes.entries.findIndex(({ kind, startByte }) => kind === 'write' && startByte === 0);
  const entry = writes.entries[switchedAt];
  if (entry === undefined) throw new Error('sector 0 was not written');
  return { switchedAt, boatByte: (await writes.data(entry, 0, sectorBytes)).readUInt32LE(454) * sectorBytes };
}

async function migrationOf(
  { base, image, planId }: RecordedBeagle,
  { after, boatByte }: { after: FileHandle; boatByte: number },
): Promise<JudgedMigration> {
  const host = createNodeHost();
  const facts = await proveImage({ host, path: image, emit: () => {}, usedBlocks: 'find' });
  const gapBytes = Math.min(...facts.table.partitions.map(({ startByte }) => startByte));
  const [before, disk, raw] = [await open(base), await host.openRead(base), await open(image)];
  try {
    return {
      diskBytes: (await before.stat()).size,
      oldSector: await readAt(before, 0, sectorBytes),
      newSector: await readAt(raw, 0, sectorBytes),
      oldLoaders: await rawLoaders(before),
      newLoaders: await loadersOnFat(image, gapBytes),
      lifeboat: await readLifeboatRecord(disk, { startByte: boatByte, planId }),
      ranges: writtenRanges(facts)
        .map((range) => ({ ...range, startByte: Math.max(range.startByte, gapBytes) }))
        .filter(({ startByte, endByte }) => startByte < endByte),
      final: (startByte, sizeBytes) => readAt(after, startByte, sizeBytes),
      age: '2019',
      deviceTree: 'am335x-boneblack.dtb',
    };
  } finally {
    await before.close();
    await disk.close();
    await raw.close();
  }
}

async function rawLoaders(disk: FileHandle): Promise<Loaders> {
  const head = await readAt(disk, rawUbootByte, sectorBytes);
  const code = (await readAt(disk, rawLoaderByte + sectorBytes, sectorBytes)).readUInt32LE(0);
  return {
    mlo: await readAt(disk, rawLoaderByte, sectorBytes + 8 + code),
    uboot: await readAt(disk, rawUbootByte, 64 + head.readUInt32BE(12)),
  };
}

async function loadersOnFat(image: string, startByte: number): Promise<Loaders> {
  const reader = await createNodeHost().openRead(image);
  try {
    const fat = await openFat({ ...reader, read: (target, position) => reader.read(target, startByte + position) });
    return { mlo: Buffer.from(await fat.readFile('/MLO')), uboot: Buffer.from(await fat.readFile('/u-boot.img')) };
  } finally {
    await reader.close();
  }
}

async function readAt(file: FileHandle, startByte: number, sizeBytes: number): Promise<Buffer> {
  const bytes = Buffer.alloc(sizeBytes);
  await file.read(bytes, 0, sizeBytes, startByte);
  return bytes;
}
