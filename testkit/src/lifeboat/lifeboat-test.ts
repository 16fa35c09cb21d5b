// What a lifeboat promises, shown on one kind of machine: a whole migration recorded, every state that a power cut could have left
// of it judged, and a machine whose plug is pulled at random.
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CrashState } from '../crash/crash-states.ts';
import { armingModel } from './arming-model.ts';
import { startsSector } from './boot-model.ts';
import { copyState, type JudgedState, judgeStage2 } from './judge-stage2.ts';
import { type ArmedMachine, type CutRun, cutsSeed, runWithCuts, seededRandom } from './power-cuts.ts';
import { type RecordedMigration, type RecordOptions, recordMigration } from './recorded-migration.ts';

/** On this machine. Both kinds, and both whose lifeboat is made in stage 2, are to have 20 together. */
const fewestCuts = 7;
/** As many starts in vain as a lifeboat allows, and one from the old system. */
const cutsInARow = 3;

export function describeLifeboat(name: string, options: RecordOptions): void {
  describe(name, () => {
    let migration: RecordedMigration;
    let armed: ArmedMachine;
    let judged: readonly JudgedState[] = [];
    const random = seededRandom(cutsSeed + name.length);
    /** Of all tests of this machine. */
    let cuts = 0;
    const cutAtRandom = async (machine: ArmedMachine, inARow: number): Promise<CutRun> => {
      const times = Array.from({ length: inARow }, () => random() * migration.stage2Ms);
      const found = await runWithCuts(machine, times);
      cuts += found.cuts;
      const moments = times.map((time) => `${Math.round(time)} ms`).join(' and ');
      console.log(
        `${name}, seed ${cutsSeed}, cut ${found.cuts} times, after ${moments} of ${migration.stage2Ms}: ${found.end}`,
      );
      return found;
    };
    beforeAll(async () => {
      migration = await recordMigration(options);
      const { shape, variables, directory } = migration;
      const disk = join(directory, 'armed.raw');
      await copyState(migration, { to: disk, isWanted: ({ arrived }) => arrived.length === 0 });
      armed = { firmware: shape === 'uefi' ? 'uefi' : 'bios', memoryMib: options.memoryMib, disk, variables };
    });
    afterAll(() => migration?.close());

    it('boots the old system, the lifeboat or the whole new system after a power cut at any write of stage 2', async () => {
      const { counts, bricked, judged: all } = await judgeStage2(migration);
      judged = all;
      console.log(`${name}, cut in stage 2: ${JSON.stringify(counts)}`);
      expect(bricked).toEqual([]);
      expect(counts.lifeboat).toBeGreaterThan(50);
      expect(counts.new).toBeGreaterThan(0);
      expect(counts.old).toBeGreaterThan(0);
    });

    it.each([
      { what: 'torn', by: 'its boot entry' },
      { what: 'all but number', by: 'its loader at the removable path, where the firmware has lost its entry' },
    ])(
      'really boots one of those in which a write was $what, also when it is cut again, with UEFI by $by',
      async ({ what, by }) => {
        const candidates = judged.filter(({ name: state, said }) => said === 'lifeboat' && state.includes(what));
        const chosen = candidates[Math.floor(seededRandom(cutsSeed)() * candidates.length)];
        if (chosen === undefined) throw new Error(`no state has a write that was ${what}`);
        const disk = join(migration.directory, 'state.raw');
        await copyState(migration, { to: disk, isWanted: (state) => state.name === chosen.name });
        const hasEntry = by === 'its boot entry';
        const variables = hasEntry ? migration.variablesAtSwitch : migration.variables;
        const { end, log } = await cutAtRandom({ ...armed, disk, variables }, cutsInARow - 1);
        console.log(`${name}, ${chosen.name}: ${end}`);
        const [started] = /^BdsDxe: starting \S+ "[^"]*" from/m.exec(log.replaceAll('\r', '')) ?? [];
        if (armed.firmware === 'uefi')
          expect(started).toContain(hasEntry ? '"balena migrate lifeboat"' : '"UEFI Misc Device"');
        expect(log).toContain('started from the lifeboat');
        expect(end).toBe('new-complete');
        await rm(disk);
      },
    );

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
      for (let run = 1; cuts < fewestCuts; run += 1) {
        const { end } = await cutAtRandom(armed, cutsInARow);
        expect(['old-intact', 'new-complete']).toContain(end);
        expect(run).toBeLessThan(30);
      }
    });
  });
}
