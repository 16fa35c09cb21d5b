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

/** The lifeboat of the plan, if it has one by now; throws `verify-mismatch` where it is not what was made. */
export async function findLifeboat(
  host: Host,
  plan: Plan,
  { oldRoot, boardedAt, ramDirectory, targetPath }: LifeboatSearch,
): Promise<LifeboatRecord | undefined> {
  const kept = `${ramDirectory}/${lifeboatPlaceName}`;
  if (isMadeInStage2(plan)) {
    if (boardedAt === undefined && (await host.status(kept)) === undefined) return undefined;
  } else if (!plan.stage1.some(({ kind }) => kind === 'make-lifeboat')) return undefined;
  const paths = [kept, `${oldRoot}${plan.stateDirectoryInFileSystem}/payload/${lifeboatPlaceName}`];
  const startByte = boardedAt ?? (await readPlace(host, paths));
  const disk = await host.openRead(targetPath);
  try {
    const record = await readLifeboatRecord(disk, { startByte, planId: plan.id });
    await rememberPlace(host, ramDirectory, startByte);
    return record;
  } finally {
    await disk.close();
  }
}

/** For a stage 2 that is started again when the old file system is gone. */
export async function rememberPlace(host: Host, ramDirectory: string, startByte: number): Promise<void> {
  const bytes = Buffer.from(JSON.stringify({ startByte }));
  await host.writeDurable(`${ramDirectory}/${lifeboatPlaceName}`, bytes, { mode: 0o600 });
}

function isMadeInStage2({ stage2 }: Plan): boolean {
  return stage2.some(({ kind }) => kind === 'find-lifeboat-place' || kind === 'fill-lifeboat');
}

async function readPlace(host: Host, paths: readonly string[]): Promise<number> {
  for (const path of paths) {
    const text = await host.readText(path);
    if (text === undefined) continue;
    const { startByte } = JSON.parse(text) as { startByte?: unknown };
    if (typeof startByte === 'number' && Number.isSafeInteger(startByte)) return startByte;
  }
  throw new MigrateError('not-found', 'the payload does not say where the lifeboat lies');
}

/** From the switch on, with the small files that the steps need. */
export function stepsOnBoard({ stage2 }: Plan): readonly Step[] {
  const first = stage2.findIndex(({ kind }) => kind === 'switch-to-lifeboat');
  return stage2.filter(({ kind }, index) => kind === 'load-payload' || index >= first);
}

/** Of a stage 2 that was cut while it made a lifeboat: what is needed of those before, and all from the point of no return on. */
export function stepsStartedAgain({ stage2, pointOfNoReturn }: Plan): readonly Step[] {
  const first = stage2.findIndex(({ id }) => id === pointOfNoReturn);
  const again: readonly Step['kind'][] = ['load-payload', 'load-backup', 'release-target'];
  return stage2.filter(({ kind }, index) => again.includes(kind) || index >= first);
}
