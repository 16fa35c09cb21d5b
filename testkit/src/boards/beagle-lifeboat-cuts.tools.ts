// Stage 2 of a Beagle with a lifeboat, cut at every write, with writes lost, alone or torn: what the board starts then.
import { beforeAll, describe, expect, it } from 'vitest';
import { type BoardMigration, migrateBoard } from './beagle-migration.ts';

type Counts = Readonly<Record<string, number>>;

const bricked = (counts: Counts): readonly string[] => Object.keys(counts).filter((said) => said.startsWith('bricked'));

function expectSafe(counts: Counts): void {
  expect(bricked(counts)).toEqual([]);
  expect(counts.old).toBeGreaterThan(0);
  expect(counts.lifeboat).toBeGreaterThan(10);
  expect(counts.new).toBeGreaterThan(0);
}

describe('a BeagleBoard-xM, whose loaders lie on FAT', () => {
  let migration: BoardMigration;
  beforeAll(async () => {
    migration = await migrateBoard('beagleboard-xm-debian-9');
  });

  it('has grade A: no cut leaves it without a system', async () => {
    expect(migration.boot.window).toBeUndefined();
    for (const firstLoader of ['raw, then FAT', 'as the ROM'] as const) expectSafe(await migration.judge(firstLoader));
  });
});

describe('a BeagleBone Black, whose loaders lie before the partitions', () => {
  let migration: BoardMigration;
  beforeAll(async () => {
    migration = await migrateBoard('beaglebone-black-debian-9');
  });

  it('starts from any state where its first loader goes on to FAT', async () => {
    for (const firstLoader of ['raw, then FAT', 'as the ROM'] as const) expectSafe(await migration.judge(firstLoader));
  });

  it('has grade B otherwise: nothing else is written while a cut leaves it without a system than the plan says', async () => {
    const counts = await migration.judge('raw only');
    expect(bricked(counts)).toEqual(['bricked: the first loader finds no U-Boot']);
    expect(migration.windowBytes('raw only')).toBe(migration.boot.window?.bytes);
    expect(migration.windowBytes('raw, then FAT')).toBe(0);
  });

  it('would be left without a system if its old loaders were not cleared before the commit', async () => {
    const careless = await migrateBoard('beaglebone-black-debian-9', { mistake: 'loaders not cleared' });
    const counts = await careless.judge('raw, then FAT');
    expect(bricked(counts)).toEqual(['bricked: the old U-Boot starts on the new disk']);
  });

  it('would be left without a system for as long as it is flashed if they went with all else', async () => {
    const careless = await migrateBoard('beaglebone-black-debian-9', { mistake: 'loaders forgotten' });
    await careless.judge('raw only');
    expect(careless.windowBytes('raw only')).toBeGreaterThan(1_000_000);
  });
});

describe('an image that has loaders before its partitions', () => {
  it.each([
    ['beagleboard-xm-debian-9', ['raw, then FAT', 'as the ROM']],
    ['beaglebone-black-debian-9', ['raw, then FAT', 'as the ROM', 'raw only']],
  ] as const)('comes onto %s within the window', async (name, firstLoaders) => {
    const migration = await migrateBoard(name, { imageHasLoaders: true });
    const window = migration.boot.window?.bytes ?? 0;
    expect(window).toBeGreaterThan(0);
    for (const firstLoader of firstLoaders) {
      const counts = await migration.judge(firstLoader);
      expect(counts.lifeboat).toBeGreaterThan(10);
      expect(counts.new).toBeGreaterThan(0);
      expect(migration.windowBytes(firstLoader)).toBeLessThanOrEqual(window);
    }
  });
});
