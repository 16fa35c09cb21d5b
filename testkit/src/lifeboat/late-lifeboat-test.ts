// What a lifeboat promises that stage 2 makes, over files of an old file system that is too full for it, shown on one kind of machine.
import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ByteRange,
  type ByteReader,
  createNodeHost,
  type LifeboatPiece,
  setGrubVariable,
  type TreeEntry,
  windowOf,
} from '@migrate/core';
import { openExt4 } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyState, judgeStage2 } from './judge-stage2.ts';
import { cutsSeed, runWithCuts, seededRandom } from './power-cuts.ts';
import {
  type LifeboatShape,
  type Rearming,
  type RecordedMigration,
  type RecordOptions,
  recordMigration,
} from './recorded-migration.ts';

/** Where the boot path, the payload and the image lie. */
const kept = ['/boot', '/var/lib/balena-migrate', '/root/migration/balena.img.gz'];
/** As debian-disk.ts lays out the disk, in bytes. */
const partitionStarts: Readonly<Record<LifeboatShape, number>> = {
  'bios-mbr': 2048 * 512,
  uefi: (2048 + 131_072) * 512,
};

export function describeLateLifeboat(name: string, options: Omit<RecordOptions, 'isFull'>): void {
  describe(name, () => {
    let migration: RecordedMigration;
    let rearming: Rearming;
    const partitionStart = partitionStarts[options.shape];
    const machineOn = (disk: string) =>
      ({
        firmware: options.shape === 'uefi' ? 'uefi' : 'bios',
        memoryMib: options.memoryMib,
        disk,
        variables: migration.variables,
      }) as const;
    beforeAll(async () => {
      migration = await recordMigration({ ...options, isFull: true });
      if (migration.rearming === undefined) throw new Error('it was not recorded when stage 2 took over');
      ({ rearming } = migration);
    });
    afterAll(() => migration?.close());

    it('boots the old system, stage 2, the lifeboat or the whole new system after a power cut at any write', async () => {
      const { from, at } = rearming;
      const rearmed = await judgeStage2(migration, { from, touchedFrom: at, to: migration.switchedAt });
      const switched = await judgeStage2(migration);
      const counts: Record<string, number> = { ...rearmed.counts };
      for (const [said, count] of Object.entries(switched.counts)) counts[said] = (counts[said] ?? 0) + count;
      console.log(`${name}, cut in stage 2: ${JSON.stringify(counts)}`);
      expect([...rearmed.bricked, ...switched.bricked].slice(0, 20)).toEqual([]);
      expect(counts.old).toBeGreaterThan(0);
      expect(counts['stage 2 again']).toBeGreaterThan(50);
      expect(counts.lifeboat).toBeGreaterThan(50);
      expect(counts.new).toBeGreaterThan(0);
    });

    it('keeps the structure of the old file system, its boot path and the payload until the firmware is switched', async () => {
      const armed = join(migration.directory, 'armed.raw');
      const made = join(migration.directory, 'made.raw');
      await copyState(migration, { to: armed, from: rearming.from, isWanted: ({ arrived }) => arrived.length === 0 });
      await copyState(migration, { to: made, isWanted: ({ arrived }) => arrived.length === 0 });
      const [before, after] = [await lookAt(armed, partitionStart), await lookAt(made, partitionStart)];
      // It does lie over files.
      const { pieces } = migration.lifeboat;
      const isUsed = ({ startByte, sizeBytes }: LifeboatPiece): boolean =>
        before.used.some((range) => range.startByte < startByte + sizeBytes && startByte < range.endByte);
      expect(pieces.some(isUsed)).toBe(true);
      expect(Object.keys(before.digests).length).toBeGreaterThan(100);
      const changed = Object.keys(before.digests).filter((path) => after.digests[path] !== before.digests[path]);
      expect(changed).toEqual(['/boot/grub/grubenv']);
      const partition = join(migration.directory, 'partition.raw');
      await execa('dd', [
        `if=${made}`,
        `of=${partition}`,
        'bs=1M',
        `skip=${partitionStart}`,
        'iflag=skip_bytes',
        'conv=sparse',
        'status=none',
      ]);
      const { stdout } = await execa('e2fsck', ['-fn', partition]);
      expect(stdout).not.toMatch(/\? no$/m);
      await rm(partition);
    });

    it('waits for help when it has started three times without getting so far', async () => {
      const disk = join(migration.directory, 'made.raw');
      const file = await open(disk, 'r+');
      const block = Buffer.alloc(1024);
      await file.read(block, 0, block.length, rearming.startByte);
      const counted = setGrubVariable(block.toString('latin1'), 'migrate_starts', { value: 'xxx', path: disk });
      await file.write(Buffer.from(counted, 'latin1'), 0, block.length, rearming.startByte);
      await file.close();
      await expect(runWithCuts(machineOn(disk), [])).rejects.toThrow(
        /FAILED: stage 2 started 4 times without a lifeboat/,
      );
      await rm(disk);
    });

    it('comes through power cuts while the lifeboat is made, while the image is written, and at a random moment', async () => {
      const disk = join(migration.directory, 'armed.raw');
      const random = seededRandom(cutsSeed + name.length);
      // Well before what follows: each cut has its place on a machine that is twice as fast, too.
      const times = [random() * 1200, random() * 1000, random() * migration.stage2Ms * 0.7];
      const [making = 0, writing = 0, later = 0] = times;
      const { end, cuts, log } = await runWithCuts(machineOn(disk), [
        { after: /> write the lifeboat/, milliseconds: making },
        { after: /> .*write .* MiB of the image/, milliseconds: writing },
        later,
      ]);
      console.log(`${name}, seed ${cutsSeed}, cut after ${times.map(Math.round).join(', ')} ms: ${end}`);
      expect(log).toContain('started again, the 1. time');
      expect(log).toContain('started from the lifeboat');
      expect([end, cuts]).toEqual(['new-complete', 3]);
    });
  });
}

interface OldSystem {
  /** Hashes of the files that must stay, by path. */
  readonly digests: Readonly<Record<string, string>>;
  /** Blocks in use, on the disk. */
  readonly used: readonly ByteRange[];
}

async function lookAt(disk: string, partitionStart: number): Promise<OldSystem> {
  const reader = await createNodeHost().openRead(disk);
  const digests: Record<string, string> = {};
  try {
    const volume = await openExt4(windowOf(reader, partitionStart, reader.sizeBytes - partitionStart));
    const visit = async (entry: TreeEntry, path: string): Promise<void> => {
      if (entry.kind === 'directory')
        for (const child of await volume.children(entry)) await visit(child, `${path}/${Buffer.from(child.name)}`);
      if (entry.kind === 'file') digests[path] = await digestOf(volume.open(entry), entry.sizeBytes);
    };
    for (const path of kept) {
      const entry = await volume.find(path);
      if (entry === undefined) throw new Error(`${path} is missing`);
      await visit(entry, path);
    }
    const used = (await volume.usedRanges()).map(({ startByte, endByte }) => ({
      startByte: startByte + partitionStart,
      endByte: endByte + partitionStart,
    }));
    return { digests, used };
  } finally {
    await reader.close();
  }
}

async function digestOf(file: ByteReader, sizeBytes: number): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(1024 * 1024);
  for (let position = 0; position < sizeBytes; position += chunk.length) {
    const count = await file.read(chunk, position);
    hash.update(chunk.subarray(0, count));
  }
  return hash.digest('hex');
}
