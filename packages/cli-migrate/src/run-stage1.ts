import {
  type Config,
  type Emit,
  execute,
  type Host,
  journalName,
  MigrateError,
  type Outcome,
  type Plan,
  pathBelow,
  printLogServer,
  readJournal,
  removeStage2BootEntries,
  reportName,
  stage2LogName,
  stage2ResultName,
  undoJournal,
  withLock,
} from '@migrate/core';
import { cloudProgress } from './cloud-progress.ts';
import type { Platform } from './platform.ts';
import { stepHandlers } from './step-handlers.ts';

export interface Stage1Run {
  readonly config: Config;
  readonly workDirectory: string;
  readonly emit: Emit;
}

/** Carries out stage 1, and tells the dashboard where the configuration asks for it: afterwards the next boot starts stage 2, or everything is as it was. */
export async function runStage1(host: Host, plan: Plan, { config, workDirectory, emit }: Stage1Run): Promise<Outcome> {
  const tell = await cloudProgress(host, { config, workDirectory, emit });
  await tell('preparing');
  const { remote } = config.migrate.log;
  const secrets = remote === undefined ? {} : { 'log-address': printLogServer(remote) };
  const outcome = await withLock(host, plan.stateDirectory, () =>
    execute({
      steps: plan.stage1,
      handlers: stepHandlers,
      context: { ...contextOf(host, plan, emit), secrets },
      journalPath: journalIn(plan.stateDirectory),
    }),
  );
  await tell(outcome.kind === 'done' ? 'restarting' : 'failed');
  return outcome;
}

/** Takes back what an earlier run left. False where there is nothing to take back. */
export async function undoStage1({ host, stateDirectory }: Platform, emit: Emit): Promise<boolean> {
  const journalPath = journalIn(stateDirectory);
  if ((await readJournal(host, journalPath)) === undefined) {
    // A run that was killed before its first step has left its directory, a lock, and half a journal at the most.
    if ((await host.status(stateDirectory)) !== undefined)
      await withLock(host, stateDirectory, () => host.removeFile(journalPath));
    return false;
  }
  await withLock(host, stateDirectory, async () => {
    const journal = await readJournal(host, journalPath);
    if (journal === undefined) throw new MigrateError('busy', 'another process has just undone it');
    await removeStage2BootEntries(host, journal, emit);
    await undoJournal(journal, { context: contextOf(host, undefined, emit), handlers: stepHandlers, journalPath });
    for (const name of [reportName, stage2LogName, stage2ResultName])
      await host.removeFile(pathBelow(stateDirectory, name));
  });
  return true;
}

function journalIn(directory: string): string {
  return pathBelow(directory, journalName);
}

function contextOf(host: Host, plan: Plan | undefined, emit: Emit) {
  // Undo needs no plan: each step carries what it is about.
  return { host, plan: plan ?? ({} as Plan), emit, log: () => new Uint8Array() };
}
