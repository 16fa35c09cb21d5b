// Every state in which a power cut could have left the disk of a recorded migration.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { CrashState } from '../crash/crash-states.ts';
import { type DiskStatesRequest, examineStates } from '../crash/disk-states.ts';
import type { WriteLogOptions } from '../crash/write-log.ts';
import { bootModel } from './boot-model.ts';
import type { RecordedStage2 } from './recorded-migration.ts';

export interface JudgedState {
  readonly name: string;
  /** What `bootModel` says. */
  readonly said: string;
}

export interface Judgement {
  readonly judged: readonly JudgedState[];
  /** How often each was said. */
  readonly counts: Readonly<Record<string, number>>;
  /** Those that boot nothing, and why. */
  readonly bricked: readonly string[];
}

/** Judges all states from the last one on that is durable before the switch; or those of another part of the log. */
export async function judgeStage2(
  recorded: RecordedStage2 & WriteLogOptions,
  part: Pick<DiskStatesRequest, 'from' | 'touchedFrom' | 'to'> = {
    from: recorded.stage2From,
    touchedFrom: recorded.switchedAt,
  },
): Promise<Judgement> {
  const { base, log, directory, isFlushed = () => false, joinedBytes = 0 } = recorded;
  const judge = await bootModel(recorded);
  const judged: JudgedState[] = [];
  const work = join(directory, 'stage-2.state');
  const counts = await examineStates(
    { base, log, work, unitBytes: 512, ...part, isFlushed, joinedBytes },
    async (state) => {
      const said = await judge(state);
      judged.push({ name: state.name, said });
      return said;
    },
  );
  await rm(work);
  const bricked = judged.filter(({ said }) => said.startsWith('bricked')).map(({ name, said }) => `${name}: ${said}`);
  return { judged, counts, bricked };
}

/** Copies the disk in the first state that is wanted, of those from the switch to the lifeboat on where nothing else is said. */
export async function copyState(
  { base, log, stage2From, directory }: RecordedStage2,
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
  if (!isFound) throw new Error('there is no such state');
  await rm(work);
}
