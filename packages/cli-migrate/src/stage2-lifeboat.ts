// Stage 2 with a lifeboat: where it lies, and what is left to do when it was started from there.
import {
  type Host,
  type LifeboatRecord,
  lifeboatPlaceName,
  MigrateError,
  type Plan,
  readLifeboatRecord,
  type Step,
} from '@migrate/core';

export interface LifeboatSearch {
  /** Where the old system's file system with the payload is mounted. */
  readonly oldRoot: string;
  /** Where on the disk the lifeboat begins that stage 2 was started from; absent where the old system started it. */
  readonly boardedAt?: number;
  readonly ramDirectory: string;
  readonly targetPath: string;
}

/** The lifeboat of the plan, if it has one and stage 2 is not yet to make it; throws `verify-mismatch` where it is not what stage 1 made. */
export async function findLifeboat(
  host: Host,
  plan: Plan,
  { oldRoot, boardedAt, ramDirectory, targetPath }: LifeboatSearch,
): Promise<LifeboatRecord | undefined> {
  const isMadeHere = plan.stage2.some(({ kind }) => kind === 'fill-lifeboat');
  if (!isMadeHere && !plan.stage1.some(({ kind }) => kind === 'make-lifeboat')) return undefined;
  const kept = `${ramDirectory}/${lifeboatPlaceName}`;
  const paths = [kept, `${oldRoot}${plan.stateDirectoryInFileSystem}/payload/${lifeboatPlaceName}`];
  const startByte = boardedAt ?? (await readPlace(host, paths));
  if (startByte === undefined) {
    if (isMadeHere) return undefined;
    throw new MigrateError('not-found', 'the payload does not say where the lifeboat lies');
  }
  const disk = await host.openRead(targetPath);
  try {
    const record = await readLifeboatRecord(disk, { startByte, planId: plan.id });
    // For a stage 2 that is started again when the old file system is gone.
    await host.writeDurable(kept, Buffer.from(JSON.stringify({ startByte })), { mode: 0o600 });
    return record;
  } finally {
    await disk.close();
  }
}

async function readPlace(host: Host, paths: readonly string[]): Promise<number | undefined> {
  for (const path of paths) {
    const text = await host.readText(path);
    if (text === undefined) continue;
    const { startByte } = JSON.parse(text) as { startByte?: unknown };
    if (typeof startByte === 'number' && Number.isSafeInteger(startByte)) return startByte;
  }
  return undefined;
}

/** Those after the point of no return, with the small files that they need. */
export function stepsOnBoard({ stage2, pointOfNoReturn }: Plan): readonly Step[] {
  const first = stage2.findIndex(({ id }) => id === pointOfNoReturn);
  return stage2.filter(({ kind }, index) => kind === 'load-payload' || index >= first);
}
