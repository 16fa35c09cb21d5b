// Every state that a power cut could have left of a disk while stage 2 wrote to it, judged.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { examineStates } from '../crash/disk-states.ts';
import type { WriteLogOptions } from '../crash/write-log.ts';
import { bootModel } from './boot-model.ts';
import type { RecordedStage2 } from './recorded-migration.ts';

export interface JudgedState {
  readonly name: string;
  /** What `bootModel` says. */
  readonly said: string;
}

/** Counts what they boot; `onState` is told of each. */
export async function judgeStage2(
  recorded: RecordedStage2 & WriteLogOptions,
  onState: (state: JudgedState) => void,
): Promise<Readonly<Record<string, number>>> {
  const { base, log, stage2From, switchedAt, directory, isFlushed = () => false, joinedBytes = 0 } = recorded;
  const judge = await bootModel(recorded);
  const work = join(directory, 'stage-2.state');
  const counts = await examineStates(
    {
      ...{ base, log, work, unitBytes: 512, from: stage2From, touchedFrom: switchedAt },
      ...{ isFlushed, joinedBytes },
    },
    async (state) => {
      const said = await judge(state);
      onState({ name: state.name, said });
      return said;
    },
  );
  await rm(work);
  return counts;
}
