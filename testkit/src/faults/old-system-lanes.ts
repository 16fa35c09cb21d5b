// Old systems side by side, so that two processors have work, with a migration that is tried in them again and again.
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { differences, fileRecorder } from './file-records.ts';
import { type OldSystem, openOldSystem } from './old-system.ts';
import { placeSmallMigration } from './small-migration.ts';

/** Where stage 1 writes, and its neighbours. */
const watched = ['boot', 'etc', 'var/lib', 'root', 'srv'];

export interface Lane {
  readonly system: OldSystem;
  /** What differs from before all runs: a line for each file, and for room in the file system that was not given back. */
  leftBehind(): Promise<readonly string[]>;
}

/** Opens two with the migration in that directory; the caller closes their systems. */
export async function openLanes(directory: string, migration: string): Promise<readonly Lane[]> {
  const lanes: Lane[] = [];
  for (const name of ['one', 'two']) {
    const system = await openOldSystem({ directory: join(directory, name) });
    await placeSmallMigration(system, migration);
    const record = fileRecorder(system.root, watched);
    const [before, roomBefore] = [await record(), await freeRoom(system)];
    const leftBehind = async (): Promise<readonly string[]> => {
      const room = await freeRoom(system);
      const lost = room === roomBefore ? [] : [`${roomBefore} were free, and now ${room}`];
      return [...differences(before, await record()), ...lost];
    };
    lanes.push({ system, leftBehind });
  }
  return lanes;
}

async function freeRoom({ root }: OldSystem): Promise<string> {
  const { bfree, ffree } = await statfs(root);
  return `${bfree} blocks and ${ffree} inodes`;
}

/** All lanes take from the same queue. The first failure ends them. */
export async function inLanes<T>(
  lanes: readonly Lane[],
  items: readonly T[],
  action: (lane: Lane, item: T) => Promise<void>,
): Promise<void> {
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
