// Stage 1 and its undo, on a real installed disk, with a fault at any of the calls by which they change files. FAULTS=all tries every
// one, which takes half an hour; otherwise a sample, whose seed is printed, is tried.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { differences, type FileRecords, fileRecorder } from './file-records.ts';
import { type OldSystem, openOldSystem, signalStatus } from './old-system.ts';
import { makeSmallMigration, migrateCommand, placeSmallMigration } from './small-migration.ts';
import { type Fault, type FileChange, recordChanges, runWithFault } from './traced-changes.ts';

const isComplete = process.env.FAULTS === 'all';
const seed = Number(process.env.SEED ?? (process.env.CI === 'true' ? 20261121 : Date.now() % 2 ** 31));
const sampleSizes = { errors: 45, kills: 30, undo: 6 };
const timeout = isComplete ? 3_600_000 : 600_000;

const stage1 = migrateCommand('--mode', 'immediate', '--yes');
const undo = migrateCommand('undo');
const status = migrateCommand('status', '--json');
/** Where stage 1 writes, and its neighbours. */
const watched = ['boot', 'etc', 'var/lib', 'root', 'srv'];

interface Lane {
  readonly system: OldSystem;
  readonly before: FileRecords;
  readonly record: () => Promise<FileRecords>;
}

let directory: string;
/** Two old systems, so that two processors have work. */
const lanes: Lane[] = [];
let changesOfStage1: readonly FileChange[] = [];
let changesOfUndo: readonly FileChange[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'stage1-faults-'));
  const migration = join(directory, 'migration');
  await makeSmallMigration(migration);
  for (const name of ['one', 'two']) {
    const system = await openOldSystem({ directory: join(directory, name) });
    await placeSmallMigration(system, migration);
    const record = fileRecorder(system.root, watched);
    lanes.push({ system, record, before: await record() });
  }
  const [{ system }] = lanes as [Lane];
  const done = await recordChanges(system, stage1);
  expect(done.result.exitCode, done.result.output).toBe(0);
  const undone = await recordChanges(system, undo);
  expect(undone.result.exitCode, undone.result.output).toBe(0);
  changesOfStage1 = done.changes;
  changesOfUndo = undone.changes;
  console.log(`${changesOfStage1.length} changes by stage 1, ${changesOfUndo.length} by its undo; SEED=${seed}`);
}, timeout);

afterAll(async () => {
  for (const { system } of lanes) await system.close();
  await rm(directory, { recursive: true });
});

/** What is left of a run in the old system. */
const leftIn = async ({ before, record }: Lane): Promise<readonly string[]> => differences(before, await record());

/** A sample, with all changes among it before the first step, at GRUB's files, and behind the last step; all where asked. */
function chosen(changes: readonly FileChange[], size: number): readonly FileChange[] {
  if (isComplete) return changes;
  const last = changes.findLastIndex(({ path }) => path.includes('journal.json'));
  const isCertain = ({ path }: FileChange, index: number): boolean =>
    index < 8 || index > last || path.startsWith('/boot/grub');
  const others = changes.filter((change, index) => !isCertain(change, index));
  const length = Math.min(others.length, Math.max(0, size - (changes.length - others.length)));
  const [sample = []] = fc.sample(fc.shuffledSubarray(others, { minLength: length, maxLength: length }), {
    seed,
    numRuns: 1,
  });
  return [...changes.filter(isCertain), ...sample];
}

/** Both lanes take from the same queue. The first failure ends them. */
async function inLanes<T>(items: readonly T[], action: (lane: Lane, item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const work = async (lane: Lane): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await action(lane, item);
  };
  const failing = lanes.map((lane) =>
    work(lane).catch((thrown: unknown) => {
      queue.length = 0;
      throw thrown;
    }),
  );
  // A lane must be still before anything else uses it.
  await Promise.allSettled(failing);
  await Promise.all(failing);
}

/** What a kernel could say of a call. */
function errorsOf({ call }: FileChange): readonly Fault[] {
  if (call === 'write' || call === 'pwrite64') return ['ENOSPC', 'EIO'];
  if (call === 'fsync' || call === 'fchmod') return ['EIO'];
  if (call === 'unlink' || call === 'rmdir') return ['EIO', 'EROFS'];
  return ['ENOSPC', 'EIO', 'EROFS'];
}

const withErrors = (changes: readonly FileChange[]) =>
  changes.map((change, index) => {
    const errors = errorsOf(change);
    return { change, fault: errors[(seed + index) % errors.length] ?? 'EIO' };
  });

test('every file that stage 1 makes, and the two of GRUB, are among the changes', () => {
  const paths = new Set(changesOfStage1.map(({ path }) => path));
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
  expect(changesOfStage1.length).toBeGreaterThan(200);
  expect(changesOfUndo.length).toBeGreaterThan(100);
});

test('an error at a change of stage 1 is named, and taken back to the byte', { timeout }, async () => {
  await inLanes(withErrors(chosen(changesOfStage1, sampleSizes.errors)), async (lane, { change, fault }) => {
    const what = `${fault} at ${change.call} ${change.path} ${change.ordinal}`;
    const { exitCode, output, wasInjected } = await runWithFault(lane.system, stage1, { change, fault });
    expect(wasInjected, what).toBe(true);
    if (exitCode === 0) {
      // Too late to matter: the machine is armed, and nothing says otherwise.
      const armed = await lane.system.run(status);
      expect(armed.output, what).toContain('"state":"armed"');
      expect(await lane.system.run(undo), what).toMatchObject({ exitCode: 0 });
    } else {
      expect([3, 4], `${what}: ${output}`).toContain(exitCode);
      expect(output, what).toMatch(new RegExp(`^migrate: .*${fault}`, 'm'));
    }
    expect(await leftIn(lane), what).toEqual([]);
  });
});

test('a run that is killed at a change is undone to the byte', { timeout }, async () => {
  await inLanes(chosen(changesOfStage1, sampleSizes.kills), async (lane, change) => {
    const what = `killed at ${change.call} ${change.path} ${change.ordinal}`;
    const killed = await runWithFault(lane.system, stage1, { change, fault: 'KILL' });
    expect([killed.wasInjected, killed.exitCode], `${what}: ${killed.output}`).toEqual([true, signalStatus]);
    expect(await lane.system.run(undo), what).toMatchObject({ exitCode: 0 });
    expect(await leftIn(lane), what).toEqual([]);
  });
});

test('a second run does not build upon a killed one, and succeeds after undo', { timeout }, async () => {
  const middle = changesOfStage1.find(({ path }) => path.startsWith('/boot/balena-migrate/.stage2.img'));
  if (middle === undefined) throw new Error('stage 1 makes no initramfs');
  await inLanes([middle], async (lane, change) => {
    await runWithFault(lane.system, stage1, { change, fault: 'KILL' });
    const left = await leftIn(lane);
    const second = await lane.system.run(stage1);
    expect([second.exitCode, second.output]).toEqual([3, expect.stringContaining('half-done-run')]);
    expect(await leftIn(lane)).toEqual(left);
    for (const command of [undo, stage1]) expect(await lane.system.run(command)).toMatchObject({ exitCode: 0 });
    expect((await lane.system.run(status)).output).toContain('"state":"armed"');
    expect(await lane.system.run(undo)).toMatchObject({ exitCode: 0 });
    expect(await leftIn(lane)).toEqual([]);
  });
});

test('an undo that fails or is killed at a change is finished by the next', { timeout }, async () => {
  const faults = withErrors(chosen(changesOfUndo, sampleSizes.undo)).map(({ change, fault }, index) => ({
    change,
    fault: index % 2 === 0 ? fault : ('KILL' as const),
  }));
  await inLanes(isComplete ? faults : faults.slice(0, sampleSizes.undo), async (lane, { change, fault }) => {
    const what = `${fault} at ${change.call} ${change.path} ${change.ordinal}`;
    expect(await lane.system.run(stage1), what).toMatchObject({ exitCode: 0 });
    const { exitCode, output, wasInjected } = await runWithFault(lane.system, undo, { change, fault });
    expect(wasInjected, what).toBe(true);
    if (fault !== 'KILL' && exitCode !== 0) {
      expect(exitCode, `${what}: ${output}`).toBe(5);
      expect(output, what).toMatch(new RegExp(`could not be taken back: .*${fault}.*run "migrate undo" again`));
    }
    expect(await lane.system.run(undo), what).toMatchObject({ exitCode: 0 });
    expect(await leftIn(lane), what).toEqual([]);
  });
});
