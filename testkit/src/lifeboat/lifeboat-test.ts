// What a lifeboat promises, shown on one kind of machine: a whole migration recorded, every state that a power cut could have left
// of it judged, and a machine whose plug is pulled at random.
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CrashState } from '../crash/crash-states.ts';
import { examineStates } from '../crash/disk-states.ts';
import { armingModel } from './arming-model.ts';
import { bootModel } from './boot-model.ts';
import { type ArmedMachine, runWithCuts, seededRandom } from './power-cuts.ts';
import { type RecordedMigration, type RecordOptions, recordMigration } from './recorded-migration.ts';

/** Another one is tried with MIGRATE_CUTS_SEED. */
const seed = Number(process.env.MIGRATE_CUTS_SEED ?? 20_261_121);
/** On this machine; both kinds together are to have 20. */
const fewestCuts = 10;
const cutsInARow = 2;
/** `board_sector` of init. */
const startsSector = 12;

export function describeLifeboat(name: string, options: RecordOptions): void {
  describe(name, () => {
    let migration: RecordedMigration;
    let armed: ArmedMachine;
    const judged: { readonly name: string; readonly said: string }[] = [];
    beforeAll(async () => {
      migration = await recordMigration(options);
      const { shape, variables, directory } = migration;
      const disk = join(directory, 'armed.raw');
      await copyState(migration, { to: disk, isWanted: ({ arrived }) => arrived.length === 0 });
      armed = { firmware: shape === 'uefi' ? 'uefi' : 'bios', memoryMib: options.memoryMib, disk, variables };
    });
    afterAll(() => migration?.close());

    it('boots the old system, the lifeboat or the whole new system after a power cut at any write of stage 2', async () => {
      const judge = await bootModel(migration);
      const { base, log, stage2From, switchedAt, directory } = migration;
      const bricked: string[] = [];
      const work = join(directory, 'stage-2.state');
      judged.length = 0;
      const counts = await examineStates(
        { base, log, work, unitBytes: 512, from: stage2From, touchedFrom: switchedAt },
        async (state) => {
          const said = await judge(state);
          judged.push({ name: state.name, said });
          if (said.startsWith('bricked')) bricked.push(`${state.name}: ${said}`);
          return said;
        },
      );
      console.log(`${name}, cut in stage 2: ${JSON.stringify(counts)}`);
      expect(bricked).toEqual([]);
      expect(counts.lifeboat).toBeGreaterThan(50);
      expect(counts.new).toBeGreaterThan(0);
      expect(counts.old).toBeGreaterThan(0);
      await rm(work);
    });

    it.each([
      { what: 'torn', by: 'its boot entry' },
      { what: 'all but number', by: 'its loader at the removable path, where the firmware has lost its entry' },
    ])('really boots one of those in which a write was $what, with UEFI by $by', async ({ what, by }) => {
      const candidates = judged.filter(({ name: state, said }) => said === 'lifeboat' && state.includes(what));
      const chosen = candidates[Math.floor(seededRandom(seed)() * candidates.length)];
      if (chosen === undefined) throw new Error(`no state has a write that was ${what}`);
      const disk = join(migration.directory, 'state.raw');
      await copyState(migration, { to: disk, isWanted: (state) => state.name === chosen.name });
      const hasEntry = by === 'its boot entry';
      const variables = hasEntry ? migration.variablesAtSwitch : migration.variables;
      const { end, log } = await runWithCuts({ ...armed, disk, variables }, []);
      console.log(`${name}, seed ${seed}, ${chosen.name}: ${end}`);
      const [started] = /^BdsDxe: starting .*/m.exec(log.replaceAll('\r', '')) ?? [];
      if (armed.firmware === 'uefi')
        expect(started).toContain(hasEntry ? '"balena migrate lifeboat"' : '"UEFI Misc Device"');
      expect(log).toContain('started from the lifeboat');
      expect(end).toBe('new-complete');
      await rm(disk);
    });

    it('waits for help when the lifeboat has started three times in vain', async () => {
      const disk = join(migration.directory, 'state.raw');
      const isSwitched = ({ arrived }: CrashState): boolean =>
        arrived.some(({ entry }) => entry.startByte <= migration.lifeboat.switch.startByte);
      await copyState(migration, { to: disk, isWanted: isSwitched });
      const file = await open(disk, 'r+');
      await file.write('starts 3\n', migration.lifeboat.startByte + startsSector * 512);
      await file.close();
      await expect(runWithCuts({ ...armed, disk }, [])).rejects.toThrow(/FAILED: the lifeboat started 4 times/);
      await rm(disk);
    });

    it('boots the old system or stage 2 after a power cut in stage 1', async () => {
      const counts = await armingModel(migration);
      console.log(`${name}, cut in stage 1: ${JSON.stringify(counts)}`);
      expect(Object.keys(counts).filter((said) => said.startsWith('bricked'))).toEqual([]);
      expect(counts.old).toBeGreaterThan(10);
      expect(counts['stage 2']).toBeGreaterThan(0);
    });

    it(`comes through ${fewestCuts} power cuts at random moments by itself`, async () => {
      const random = seededRandom(seed + name.length);
      let cuts = 0;
      for (let run = 1; cuts < fewestCuts; run += 1) {
        const times = Array.from({ length: cutsInARow }, () => random() * migration.stage2Ms);
        const found = await runWithCuts(armed, times);
        cuts += found.cuts;
        const moments = times.map((time) => `${Math.round(time)} ms`).join(' and ');
        console.log(`${name}, seed ${seed}, run ${run}: cut after ${moments} of ${migration.stage2Ms}: ${found.end}`);
        expect(['old-intact', 'new-complete']).toContain(found.end);
        expect(run).toBeLessThan(30);
      }
    });
  });
}

/** Copies the disk in the first state that is wanted, of those from the switch to the lifeboat on where nothing else is said. */
export async function copyState(
  { base, log, stage2From, directory }: RecordedMigration,
  { to, isWanted, from = stage2From }: { to: string; isWanted: (state: CrashState) => boolean; from?: number },
): Promise<void> {
  const work = join(directory, 'copy.state');
  let isFound = false;
  const chooses = (state: CrashState): boolean => {
    if (isFound || !isWanted(state)) return false;
    isFound = true;
    return true;
  };
  await examineStates({ base, log, work, unitBytes: 512, from, chooses }, (state) =>
    state.materialise(async (path) => {
      await execa('cp', ['--sparse=always', path, to]);
      return 'copied';
    }),
  );
  expect(isFound).toBe(true);
  await rm(work);
}
