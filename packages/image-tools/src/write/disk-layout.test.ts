import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost, type FsImageSetting, MigrateError, readPartitionTable } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type DiskLayout, layoutOf } from './disk-layout.ts';
import { partitionScript } from './partition-script.ts';

// Real tools take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

/** The numbers of the README's snippet: an image of 1807745024 bytes for a BeagleBone Green. */
const snippet: FsImageSetting = {
  kind: 'fs',
  deviceSlug: 'beaglebone-green',
  check: 'none',
  maxData: false,
  mkfsDirect: false,
  extendedBlocks: 2162688,
  partitions: {
    boot: { blocks: 81920, archive: { path: 'resin-boot.tgz' } },
    rootA: { blocks: 638976, archive: { path: 'resin-rootA.tgz' } },
    rootB: { blocks: 638976, archive: { path: 'resin-rootB.tgz' } },
    state: { blocks: 40960, archive: { path: 'resin-state.tgz' } },
    data: { blocks: 2105344, archive: { path: 'resin-data.tgz' } },
  },
};
const imageBytes = 1_807_745_024;
const gibibyte = 1024 ** 3;
const card = { sizeBytes: 4 * gibibyte, sectorBytes: 512 };
const { extendedBlocks: _, ...withoutExtended } = snippet;

function withPartition(name: keyof FsImageSetting['partitions'], change: object): FsImageSetting {
  return { ...snippet, partitions: { ...snippet.partitions, [name]: { ...snippet.partitions[name], ...change } } };
}

function endByte({ partitions, sectorBytes }: DiskLayout): number {
  const last = partitions.at(-1);
  return last === undefined ? 0 : (last.startSector + last.sectors) * sectorBytes;
}

describe('layoutOf', () => {
  it('lays the snippet out as the image that it was taken from', () => {
    const layout = layoutOf(snippet, { sizeBytes: imageBytes, sectorBytes: 512 });
    expect(partitionScript(layout)).toBe(`label: dos
unit: sectors

1 : start=8192, size=81920, type=0e, bootable
2 : start=90112, size=638976, type=83
3 : start=729088, size=638976, type=83
4 : start=1368064, size=2162688, type=f
5 : start=1376256, size=40960, type=83
6 : start=1425408, size=2105344, type=83
`);
    expect(endByte(layout)).toBe(imageBytes);
    expect(() => layoutOf(snippet, { sizeBytes: imageBytes - 512, sectorBytes: 512 })).toThrow(
      'the partitions of balena.image.fs need 1807745024 bytes, the disk has 1807744512',
    );
  });

  it('makes a GPT for the device types that have one, or where it is asked for', () => {
    const layout = layoutOf({ ...snippet, deviceSlug: 'generic-amd64' }, card);
    expect(partitionScript(layout)).toBe(`label: gpt
unit: sectors
first-lba: 34

1 : start=8192, size=81920, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="resin-boot"
2 : start=90112, size=638976, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="resin-rootA"
3 : start=729088, size=638976, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="resin-rootB"
4 : start=1368064, size=40960, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="resin-state"
5 : start=1409024, size=2105344, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="resin-data"
`);
    expect(layoutOf({ ...snippet, table: 'gpt' }, card).table).toBe('gpt');
    expect(layoutOf({ ...snippet, deviceSlug: 'generic-amd64', table: 'mbr' }, card).table).toBe('mbr');
  });

  it('keeps what was recorded', () => {
    const setting: FsImageSetting = {
      ...withPartition('boot', {
        startBlock: 2048,
        type: '0c',
        fileSystem: { type: 'fat32', label: 'balena-boot' },
      }),
      diskId: '7a7a7a7a',
    };
    const script = partitionScript(layoutOf(setting, card));
    expect(script).toContain('label-id: 0x7a7a7a7a\n');
    expect(script).toContain('1 : start=2048, size=81920, type=0c, bootable\n2 : start=90112,');
    const uuid = '8a7c3e52-0000-4000-8000-0123456789ab';
    const gpt = partitionScript(layoutOf({ ...withPartition('data', { uuid }), table: 'gpt', diskId: uuid }, card));
    expect(gpt).toContain(`label-id: ${uuid}\n`);
    expect(gpt).toContain(`uuid=${uuid}, name="resin-data"`);
  });

  it('starts the extended partition where its recorded size says', () => {
    const late = { ...snippet, extendedBlocks: 2162688 - 8192 + 2048 };
    expect(layoutOf(late, card).extended).toEqual({ startSector: 1376256 - 2048, sectors: late.extendedBlocks });
    const large = { ...snippet, extendedBlocks: 2162688 + 8192 };
    expect(layoutOf(large, card).extended).toEqual({ startSector: 1368064, sectors: large.extendedBlocks });
  });

  it('lets resin-data fill the disk, and an MBR no more than it can', () => {
    for (const table of ['mbr', 'gpt'] as const) {
      const layout = layoutOf({ ...snippet, table, maxData: true }, card);
      expect(card.sizeBytes - endByte(layout)).toBe(table === 'mbr' ? 0 : 4 * 1024 ** 2);
    }
    const layout = layoutOf({ ...snippet, maxData: true }, { sizeBytes: 5 * 1024 ** 4, sectorBytes: 512 });
    expect(endByte(layout)).toBe(2 * 1024 ** 4 - 4 * 1024 ** 2);
  });

  it.each<[string, FsImageSetting, string]>([
    ['an extended partition too small', { ...snippet, extendedBlocks: 2_000_000 }, 'extended_blocks is 2000000'],
    ['one that leaves the disk', { ...snippet, extendedBlocks: 20_000_000 }, 'ends beyond the disk'],
    ['no blocks', withPartition('state', { blocks: 0 }), 'balena.image.fs.state cannot have 0 blocks'],
    ['too many blocks', withPartition('data', { blocks: 2 ** 53 }), 'balena.image.fs.data cannot have'],
    ['an overlap', withPartition('rootB', { startBlock: 90112 }), 'root_b starts at block 90112, inside'],
    ['a start in the table', withPartition('boot', { startBlock: 1 }), 'boot starts at block 1, inside'],
    ['a wild start', withPartition('data', { startBlock: 2 ** 52 }), 'data starts beyond every disk'],
    ['a type of the other kind', withPartition('rootA', { type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B' }), 'mbr'],
    ['a label that is none', withPartition('data', { fileSystem: { type: 'ext4', label: 'a"\n1:' } }), 'label'],
  ])('refuses %s', (_what, setting, message) => {
    expect(() => layoutOf(setting, card)).toThrow(message);
  });

  it('refuses a setting without one of the partitions', () => {
    const { data: _data, ...others } = snippet.partitions;
    const broken = { ...snippet, partitions: others } as unknown as FsImageSetting;
    expect(() => layoutOf(broken, card)).toThrow('balena.image.fs.data is missing');
  });

  const blocks = fc.oneof(
    { weight: 20, arbitrary: fc.integer({ min: 1, max: 200_000 }) },
    { weight: 1, arbitrary: fc.maxSafeInteger() },
  );
  const start = fc.oneof(
    { weight: 20, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.nat(1_000_000) },
    { weight: 1, arbitrary: fc.maxSafeInteger() },
  );
  const partition = fc.record({ blocks, start }).map((of) => ({
    blocks: of.blocks,
    archive: { path: 'x' },
    ...(of.start === undefined ? {} : { startBlock: of.start }),
  }));
  const settings = fc.record({
    table: fc.constantFrom('mbr' as const, 'gpt' as const),
    maxData: fc.boolean(),
    partitions: fc.record({
      boot: partition,
      rootA: partition,
      rootB: partition,
      state: partition,
      data: partition,
    }),
  });
  const disks = fc.record({
    sizeBytes: fc.oneof(fc.nat(2 ** 18), fc.nat(2 ** 31)).map((sectors) => sectors * 4096),
    sectorBytes: fc.constantFrom(512, 4096),
  });

  it('gives partitions that are apart and inside the disk and no smaller than asked, or a reason', () => {
    let laidOut = 0;
    fc.assert(
      fc.property(settings, disks, (change, disk) => {
        let layout: DiskLayout;
        try {
          layout = layoutOf({ ...withoutExtended, ...change }, disk);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(MigrateError);
          return;
        }
        laidOut += 1;
        let end = 33;
        for (const { name, startSector, sectors } of layout.partitions) {
          expect(Number.isSafeInteger(startSector)).toBe(true);
          expect(startSector * disk.sectorBytes).toBeGreaterThanOrEqual(end);
          expect(sectors * disk.sectorBytes).toBeGreaterThanOrEqual(change.partitions[name].blocks * 512);
          end = (startSector + sectors) * disk.sectorBytes;
        }
        expect(end).toBeLessThanOrEqual(disk.sizeBytes);
        const { extended } = layout;
        if (extended === undefined) return;
        const [, , rootB, state, data] = layout.partitions;
        expect(extended.startSector).toBeGreaterThanOrEqual((rootB?.startSector ?? 0) + (rootB?.sectors ?? 0));
        expect(extended.startSector).toBeLessThan(state?.startSector ?? 0);
        expect(extended.startSector + extended.sectors).toBe((data?.startSector ?? 0) + (data?.sectors ?? 0));
      }),
      { numRuns: 2000 },
    );
    expect(laidOut).toBeGreaterThan(50);
  });
});

describe('partitionScript', () => {
  it.each([
    ['mbr', undefined],
    ['gpt', undefined],
    ['gpt', 34],
  ] as const)('makes sfdisk write the layout (%s from %s)', async (table, startBlock) => {
    const directory = mkdtempSync(join(tmpdir(), 'layout-'));
    try {
      const path = join(directory, 'disk');
      execFileSync('truncate', ['-s', String(card.sizeBytes), path]);
      const boot = { ...snippet.partitions.boot, ...(startBlock === undefined ? {} : { startBlock }) };
      const setting = { ...snippet, table, maxData: true, partitions: { ...snippet.partitions, boot } };
      const layout = layoutOf(setting, card);
      execFileSync('sfdisk', ['--quiet', path], { input: partitionScript(layout) });
      const reader = await createNodeHost().openRead(path);
      const found = await readPartitionTable(reader, 512);
      await reader.close();
      const real = found?.partitions.filter(({ type }) => type !== '0f');
      expect(real?.map(({ number, startByte, sizeBytes, type }) => ({ number, startByte, sizeBytes, type }))).toEqual(
        layout.partitions.map(({ number, startSector, sectors, type }) => ({
          number,
          startByte: startSector * 512,
          sizeBytes: sectors * 512,
          type,
        })),
      );
      const names = found?.partitions.map(({ name }) => name);
      if (table === 'gpt') expect(names).toEqual(layout.partitions.map(({ label }) => label));
      else expect(found?.partitions.map(({ bootable }) => bootable)).toEqual([true, ...Array(5).fill(false)]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
