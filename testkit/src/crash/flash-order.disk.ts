// The order in which a disk is flashed, cut at every write. Firmware boots what sector 0 leads to, if that is whole.
import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost, type ImageFacts } from '@migrate/core';
import { flashImage, wipeOldTables, writeCommitSectors } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordDisk } from './recorded-disk.ts';
import { replay } from './replay.ts';
import { openWriteLog } from './write-log.ts';

const host = createNodeHost();
const mebibyte = 1024 * 1024;
const diskBytes = 16 * mebibyte;
const imageBytes = 8 * mebibyte;
const lifeboatRange = { startByte: 10 * mebibyte, endByte: 14 * mebibyte };
const chunkBytes = mebibyte;
let work: string;
let base: string;
let imagePath: string;
let facts: ImageFacts;

/** Contents that are different everywhere. */
function pattern(name: string, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let position = 0; position < sizeBytes; position += 32)
    createHash('sha256').update(`${name} ${position}`).digest().copy(bytes, position);
  return bytes;
}

const oldSystem = pattern('old', diskBytes);
const lifeboat = pattern('lifeboat', lifeboatRange.endByte - lifeboatRange.startByte);
const image = pattern('new', imageBytes);
const switchSector = pattern('switch', 512);

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'crash-flash-'));
  [base, imagePath] = [join(work, 'base'), join(work, 'image')];
  const disk = Buffer.from(oldSystem);
  lifeboat.copy(disk, lifeboatRange.startByte);
  await writeFile(base, disk);
  await writeFile(imagePath, image);
  facts = {
    path: imagePath,
    compression: 'none',
    fileBytes: imageBytes,
    fileSha256: '',
    sizeBytes: imageBytes,
    chunkBytes,
    chunkSha256: Array.from({ length: imageBytes / chunkBytes }, (_, index) =>
      createHash('sha256')
        .update(image.subarray(index * chunkBytes, (index + 1) * chunkBytes))
        .digest('hex'),
    ),
    table: { kind: 'mbr', id: '00000000', partitions: [] },
    kind: 'balena-raw',
    labels: {},
  };
});
afterAll(() => rm(work, { recursive: true, force: true }));

type Disk = Awaited<ReturnType<typeof host.openDisk>>;

async function statesOf(name: string, flash: (disk: Disk) => Promise<void>): Promise<Readonly<Record<string, number>>> {
  const [copy, log] = [join(work, `${name}.image`), join(work, `${name}.log`)];
  await execa('cp', [base, copy]);
  const recorded = await recordDisk({ image: copy, log });
  try {
    const disk = await host.openDisk(recorded.device);
    await flash(disk);
    await disk.flush();
    await disk.close();
  } finally {
    await recorded.close();
  }
  const state = join(work, `${name}.state`);
  return replay({ base, log, work: state, unitBytes: 512 }, async () => bootOf(await readFile(state)));
}

/** What firmware would start. */
function bootOf(disk: Buffer): string {
  const sector = disk.subarray(0, 512);
  const isLifeboatWhole = disk.subarray(lifeboatRange.startByte, lifeboatRange.endByte).equals(lifeboat);
  if (sector.equals(switchSector)) return isLifeboatWhole ? 'lifeboat' : 'bricked';
  if (sector.equals(image.subarray(0, 512))) return disk.subarray(0, imageBytes).equals(image) ? 'new' : 'bricked';
  const isOldWhole = disk.subarray(0, lifeboatRange.startByte).equals(oldSystem.subarray(0, lifeboatRange.startByte));
  return isOldWhole ? 'old' : 'bricked';
}

const flash = async (target: Disk): Promise<void> => {
  const source = await host.openRead(imagePath);
  try {
    await flashImage({ source, image: facts, target, emit: () => {} });
  } finally {
    await source.close();
  }
};

describe('flashing with a lifeboat', () => {
  it('never leaves a disk that boots neither of the three', async () => {
    const counts = await statesOf('lifeboat', async (target) => {
      await target.write(switchSector, 0);
      await target.flush();
      await flash(target);
      await writeCommitSectors(target, image.subarray(0, 512));
    });
    console.log(`with a lifeboat: ${JSON.stringify(counts)}`);
    expect(counts.bricked).toBeUndefined();
    expect(counts.lifeboat).toBeGreaterThan(10);
    expect(counts.new).toBeGreaterThan(0);
    expect(counts.old).toBeGreaterThan(0);
  });
});

describe('flashing without one', () => {
  it('from byte 0 leaves most states that boot nothing', async () => {
    const counts = await statesOf('dd', async (target) => {
      for (let position = 0; position < imageBytes; position += chunkBytes)
        await target.write(image.subarray(position, position + chunkBytes), position);
    });
    console.log(`from byte 0: ${JSON.stringify(counts)}`);
    expect(counts.bricked).toBeGreaterThan((counts.old ?? 0) + (counts.new ?? 0));
  });

  it('with the first sector last does so too', async () => {
    const counts = await statesOf('commit-last', async (target) => {
      await wipeOldTables(target, facts);
      await flash(target);
      await writeCommitSectors(target, image.subarray(0, 512));
    });
    console.log(`commit sectors last, from RAM: ${JSON.stringify(counts)}`);
    expect(counts.bricked).toBeGreaterThan((counts.old ?? 0) + (counts.new ?? 0));
  });
});

describe('a record of a disk', () => {
  it('has every byte that was written, in order', async () => {
    const [copy, log] = [join(work, 'order.image'), join(work, 'order.log')];
    await execa('cp', [base, copy]);
    const recorded = await recordDisk({ image: copy, log });
    const disk = await host.openDisk(recorded.device);
    for (const place of [3, 1, 2]) {
      await disk.write(pattern(`at ${place}`, 4096), place * 4096);
      await disk.flush();
    }
    await disk.close();
    await recorded.close();
    const writes = await openWriteLog(log);
    expect(writes.entries.filter(({ kind }) => kind === 'write').map(({ startByte }) => startByte / 4096)).toEqual([
      3, 1, 2,
    ]);
    const file = await open(copy, 'r');
    const found = Buffer.alloc(4096);
    for (const entry of writes.entries.filter(({ kind }) => kind === 'write')) {
      await file.read(found, 0, 4096, entry.startByte);
      expect(found.equals(await writes.data(entry, 0, 4096))).toBe(true);
    }
    await file.close();
    await writes.close();
  });
});
