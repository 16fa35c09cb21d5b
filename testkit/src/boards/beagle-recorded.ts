// A recorded migration of an emulated Beagle's eMMC, cut between its writes. An SD card of QEMU 7.2 writes sector by sector and has no
// cache: what was written is there, in order.
import { type FileHandle, open } from 'node:fs/promises';
import { createNodeHost, readLifeboatRecord, writtenRanges } from '@migrate/core';
import { openFat, proveImage } from '@migrate/image-tools';
import { execa } from 'execa';
import { openWriteLog, type WriteLog } from '../crash/write-log.ts';
import { beagleJudge, type FirstLoader, type JudgedMigration, type JudgedState, type Loaders } from './beagle-judge.ts';

const sectorBytes = 512;
const [rawLoaderByte, rawUbootByte] = [0x20000, 0x60000];
/** Sectors of which each write is looked at; of all others every so many-th. */
const decisiveBytes = [0, rawLoaderByte, 0x40000, rawUbootByte];
const sampleEvery = 199;
/** All that lies before the partitions is written by then. */
const writesAfterCommit = 9000;

export interface RecordedBeagle {
  /** The disk before, and when the new system had run; raw. */
  readonly base: string;
  readonly after: string;
  readonly log: string;
  /** The image itself. */
  readonly image: string;
  readonly planId: string;
}

/** For each first loader, counts what the board starts after a cut, from the switch to the lifeboat to some time behind the commit. */
export async function judgeRecorded(
  recorded: RecordedBeagle,
  firstLoaders: readonly FirstLoader[],
): Promise<readonly Readonly<Record<string, number>>[]> {
  const writes = await openWriteLog(recorded.log);
  const work = `${recorded.log}.state`;
  await execa('cp', ['--sparse=always', recorded.base, work]);
  const [file, after] = [await open(work, 'r+'), await open(recorded.after)];
  try {
    const { switchedAt, boatByte } = await findSwitch(writes);
    const migration = await migrationOf(recorded, { after, boatByte });
    const judged = firstLoaders.map((firstLoader) => ({
      judge: beagleJudge(migration, firstLoader),
      counts: {} as Record<string, number>,
    }));
    const touched: { readonly startByte: number; endByte: number }[] = [];
    const state: JudgedState = {
      read: (startByte, sizeBytes) => readAt(file, startByte, sizeBytes),
      isTouched: ({ startByte, endByte }) =>
        touched.some((range) => range.startByte < endByte && startByte < range.endByte),
    };
    let committedAt = Number.POSITIVE_INFINITY;
    const count = async (index: number): Promise<void> => {
      for (const { judge, counts } of judged) {
        const said = await judge(state);
        counts[said] = (counts[said] ?? 0) + 1;
        if (said === 'new') committedAt = Math.min(committedAt, index);
      }
    };
    for (const [index, entry] of writes.entries.entries()) {
      if (index > committedAt + writesAfterCommit) break;
      if (index === switchedAt) await count(index);
      if (entry.sizeBytes === 0) continue;
      const { startByte, sizeBytes } = entry;
      const endByte = startByte + sizeBytes;
      await file.write(await writes.data(entry, 0, sizeBytes), 0, sizeBytes, startByte);
      if (index < switchedAt) continue;
      const [last] = touched.slice(-1);
      if (last?.endByte === startByte) last.endByte = endByte;
      else touched.push({ startByte, endByte });
      const isDecisive = decisiveBytes.some((place) => startByte <= place && place < endByte);
      const isSampled = index < committedAt && (index - switchedAt) % sampleEvery === 0;
      if (isDecisive || isSampled) await count(index);
    }
    return judged.map(({ counts }) => counts);
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
