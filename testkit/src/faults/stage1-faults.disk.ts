// Stage 1 and its undo, on a real installed disk, with a fault at any of the calls by which they change files: with the image in RAM,
// and at what a lifeboat adds. FAULTS=all tries every one, which takes an hour; otherwise a sample, whose seed is printed, is tried.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signalStatus } from './old-system.ts';
import { inLanes, type Lane, openLanes } from './old-system-lanes.ts';
import { messages, oneOfEachKind, type Sampling, sampleOf, withErrors } from './sampled-changes.ts';
import { makeSmallMigration, migrateCommand, type Staging, stage1Command, stagings } from './small-migration.ts';
import { type FileChange, recordChanges, runWithFault } from './traced-changes.ts';

const sampling: Sampling = {
  isComplete: process.env.FAULTS === 'all',
  seed: Number(process.env.SEED ?? (process.env.CI === 'true' ? 20261121 : Date.now() % 2 ** 31)),
};
const sampleSizes = {
  ram: { errors: 45, kills: 30, undo: 6 },
  lifeboat: { errors: 20, kills: 14, undo: 3 },
};
const timeout = sampling.isComplete ? 3_600_000 : 600_000;

const undo = migrateCommand('undo');
const status = migrateCommand('status', '--json');

interface Changes {
  readonly ofStage1: readonly FileChange[];
  readonly ofUndo: readonly FileChange[];
}

let directory: string;
let lanes: readonly Lane[] = [];
const nothing: Changes = { ofStage1: [], ofUndo: [] };
const changes: Record<Staging, Changes> = { ram: nothing, lifeboat: nothing };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'stage1-faults-'));
  const migration = join(directory, 'migration');
  await makeSmallMigration(migration);
  lanes = await openLanes(directory, migration);
  await inLanes(lanes, stagings, async ({ system }, staging) => {
    const done = await recordChanges(system, stage1Command(staging));
    expect(done.result.exitCode, done.result.output).toBe(0);
    const undone = await recordChanges(system, undo);
    expect(undone.result.exitCode, undone.result.output).toBe(0);
    changes[staging] = { ofStage1: done.changes, ofUndo: undone.changes };
  });
  for (const [staging, { ofStage1, ofUndo }] of Object.entries(changes))
    console.log(`${staging}: ${ofStage1.length} changes by stage 1, ${ofUndo.length} by its undo`);
  console.log(`SEED=${sampling.seed}`);
}, timeout);

afterAll(async () => {
  for (const { system } of lanes) await system.close();
  await rm(directory, { recursive: true });
});

const isOfLifeboat = ({ path }: FileChange): boolean => /\/balena-migrate\/.*(lifeboat|payload\.img)/.test(path);

/** With RAM all changes before the first step, at GRUB's files and behind the last step, and some others; with a lifeboat its own. */
function chosen(staging: Staging, all: readonly FileChange[], size: number): readonly FileChange[] {
  if (staging === 'ram') {
    const last = all.findLastIndex(({ path }) => path.includes('journal.json'));
    const isCertain = ({ path }: FileChange, index: number): boolean =>
      index < 8 || index > last || path.startsWith('/boot/grub');
    return sampleOf(all, sampling, size, isCertain);
  }
  const own = all.filter(({ childRun }) => childRun === undefined);
  // What its steps do between them, at the journal and at directories, is theirs too.
  const steps = own.slice(own.findIndex(isOfLifeboat), own.findLastIndex(isOfLifeboat) + 1);
  const added = [...steps, ...all.filter(({ childRun }) => childRun !== undefined)];
  const isCertain = ({ call, path, childRun }: FileChange): boolean =>
    call === 'fallocate' || (childRun === undefined && path.endsWith('/lifeboat'));
  return sampleOf(oneOfEachKind(added, sampling), sampling, size, isCertain);
}

test('every file that stage 1 makes, the two of GRUB, and every change to a lifeboat are among the changes', () => {
  const { ofStage1, ofUndo } = changes.ram;
  const paths = new Set(ofStage1.map(({ path }) => path));
  for (const name of [
    'lock',
    '.journal.json',
    'payload/files/.backup.tgz',
    'payload/.plan.json',
    'payload/app/.stage2.js',
  ])
    expect(
      [...paths].some((path) => path.startsWith(`/var/lib/balena-migrate/${name}`)),
      name,
    ).toBe(true);
  expect(paths).toContain('/boot/grub/grubenv');
  expect([...paths].some((path) => path.startsWith('/boot/grub/.custom.cfg'))).toBe(true);
  expect(ofStage1.length).toBeGreaterThan(200);
  expect(ofUndo.length).toBeGreaterThan(100);

  const added = chosen('lifeboat', changes.lifeboat.ofStage1, Number.POSITIVE_INFINITY);
  const kinds = new Set(added.map(({ call, path, childRun }) => `${call} ${path} ${childRun ?? ''}`.trimEnd()));
  const state = '/var/lib/balena-migrate';
  const part = (name: string): string => `${state}/payload/.${name}.migrate-part`;
  for (const kind of [
    ...['openat', 'pwrite64', 'fsync'].map((call) => `${call} ${state}/lifeboat`),
    ...['openat', 'pwrite64', 'fsync', 'rename'].map((call) => `${call} ${part('payload.img')}`),
    ...['openat', 'write', 'fsync', 'rename'].map((call) => `${call} ${part('lifeboat.json')}`),
    // At least one run allocates, and one gives back what is too much.
    ...[1, 2].map((run) => `fallocate ${state}/lifeboat ${run}`),
  ])
    expect(kinds).toContain(kind);
  expect(chosen('lifeboat', changes.lifeboat.ofUndo, 1)).toContainEqual({
    call: 'unlink',
    path: `${state}/lifeboat`,
    ordinal: 1,
  });
});

describe.each(stagings)('with staging in %s', (staging) => {
  const stage1 = stage1Command(staging);

  test('an error at a change of stage 1 is named, and taken back to the byte and the block', { timeout }, async () => {
    const sample = chosen(staging, changes[staging].ofStage1, sampleSizes[staging].errors);
    await inLanes(lanes, withErrors(sample, sampling), async ({ system, leftBehind }, { change, fault }) => {
      const what = `${fault} at ${nameOf(change)}`;
      const { exitCode, output, wasInjected } = await runWithFault(system, stage1, { change, fault });
      expect(wasInjected, `${what}: ${output}`).toBe(true);
      if (exitCode === 0) {
        // Too late to matter: the machine is armed, and nothing says otherwise.
        const armed = await system.run(status);
        expect(armed.output, what).toContain('"state":"armed"');
        expect(await system.run(undo), what).toMatchObject({ exitCode: 0 });
      } else {
        expect([3, 4], `${what}: ${output}`).toContain(exitCode);
        expect(output, what).toMatch(messages[fault]);
      }
      expect(await leftBehind(), what).toEqual([]);
    });
  });

  test('a run that is killed at a change is undone to the byte and the block', { timeout }, async () => {
    const sample = chosen(staging, changes[staging].ofStage1, sampleSizes[staging].kills);
    await inLanes(lanes, sample, async ({ system, leftBehind }, change) => {
      const what = `killed at ${nameOf(change)}`;
      const killed = await runWithFault(system, stage1, { change, fault: 'KILL' });
      expect([killed.wasInjected, killed.exitCode], `${what}: ${killed.output}`).toEqual([true, signalStatus]);
      expect(await system.run(undo), what).toMatchObject({ exitCode: 0 });
      expect(await leftBehind(), what).toEqual([]);
    });
  });

  test('an undo that fails or is killed at a change is finished by the next', { timeout }, async () => {
    const size = sampleSizes[staging].undo;
    const faults = withErrors(chosen(staging, changes[staging].ofUndo, size), sampling).map(
      ({ change, fault }, index) => ({ change, fault: index % 2 === 0 ? fault : ('KILL' as const) }),
    );
    const tried = sampling.isComplete ? faults : faults.slice(0, size);
    await inLanes(lanes, tried, async ({ system, leftBehind }, { change, fault }) => {
      const what = `${fault} at ${nameOf(change)}`;
      expect(await system.run(stage1), what).toMatchObject({ exitCode: 0 });
      const { exitCode, output, wasInjected } = await runWithFault(system, undo, { change, fault });
      expect(wasInjected, what).toBe(true);
      if (fault !== 'KILL' && exitCode !== 0) {
        expect(exitCode, `${what}: ${output}`).toBe(5);
        expect(output, what).toMatch(new RegExp(`could not be taken back: .*${fault}.*run "migrate undo" again`));
      }
      expect(await system.run(undo), what).toMatchObject({ exitCode: 0 });
      expect(await leftBehind(), what).toEqual([]);
    });
  });
});

test('a second run does not build upon a killed one, and succeeds after undo', { timeout }, async () => {
  const middle = changes.ram.ofStage1.find(({ path }) => path.startsWith('/boot/balena-migrate/.stage2.img'));
  if (middle === undefined) throw new Error('stage 1 makes no initramfs');
  const stage1 = stage1Command('ram');
  await inLanes(lanes, [middle], async ({ system, leftBehind }, change) => {
    await runWithFault(system, stage1, { change, fault: 'KILL' });
    const left = await leftBehind();
    const second = await system.run(stage1);
    expect([second.exitCode, second.output]).toEqual([3, expect.stringContaining('half-done-run')]);
    expect(await leftBehind()).toEqual(left);
    for (const command of [undo, stage1]) expect(await system.run(command)).toMatchObject({ exitCode: 0 });
    expect((await system.run(status)).output).toContain('"state":"armed"');
    expect(await system.run(undo)).toMatchObject({ exitCode: 0 });
    expect(await leftBehind()).toEqual([]);
  });
});

function nameOf({ call, path, ordinal, childRun }: FileChange): string {
  return `${call} ${path} ${ordinal}${childRun === undefined ? '' : ` in run ${childRun} of a child`}`;
}
