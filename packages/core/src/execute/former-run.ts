import type { HostReader } from '../host/host.ts';
import { pathBelow } from '../host/path-below.ts';
import { error } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';
import { type Journal, readBootId, readJournal } from './journal.ts';
import { lockHolder } from './lock.ts';

export const journalName = 'journal.json';
export const stage2ResultName = 'stage2-result.json';
export const stage2LogName = 'stage2.log';

/** What an earlier run on this machine left. */
export type FormerRun =
  | { readonly kind: 'none' }
  /** Another process is at work at this moment. */
  | { readonly kind: 'running'; readonly processId: number; readonly since: string }
  /** Stage 1 or an undo was cut before its end. */
  | { readonly kind: 'half-done'; readonly journal: Journal }
  /** The next boot starts stage 2. */
  | { readonly kind: 'armed'; readonly journal: Journal }
  /** Stage 2 was started and gave way to this system; `reason` is what it wrote before. */
  | { readonly kind: 'fell-back'; readonly journal: Journal; readonly reason: string };

/**
 * Reads the traces of an earlier run; writes nothing. `resultDirectory` gives the directory in which stage 2 leaves word, where that
 * is another one; it is asked only once a run was armed.
 */
export async function findFormerRun(
  host: HostReader,
  directory: string,
  resultDirectory: (journal: Journal) => Promise<string | undefined> = async () => directory,
): Promise<FormerRun> {
  const holder = await lockHolder(host, directory);
  if (holder !== undefined && holder.pid !== process.pid)
    return { kind: 'running', processId: holder.pid, since: holder.since };
  const journal = await readJournal(host, `${directory}/${journalName}`);
  if (journal === undefined) return { kind: 'none' };
  if (journal.phase !== 'complete') return { kind: 'half-done', journal };
  const results = await resultDirectory(journal);
  const reason = results === undefined ? undefined : await host.readText(pathBelow(results, stage2ResultName));
  if (reason !== undefined) return { kind: 'fell-back', journal, reason: reasonOf(reason) };
  if (journal.bootId === (await readBootId(host))) return { kind: 'armed', journal };
  return {
    kind: 'fell-back',
    journal,
    reason: 'stage 2 left no word: it did not start, or died before it could write',
  };
}

/** Why a new run cannot start over an earlier one. */
export function checkFormerRun(run: FormerRun): readonly Finding[] {
  const hint = 'Run "migrate undo" first';
  switch (run.kind) {
    case 'none':
      return [];
    case 'running':
      return [
        error(
          'already-running',
          'earlier run',
          `another migrate is at work (process ${run.processId} since ${run.since})`,
          'Wait for its end',
        ),
      ];
    case 'half-done':
      return [error('half-done-run', 'earlier run', `a run of ${run.journal.startedAt} was cut before its end`, hint)];
    case 'armed':
      return [
        error(
          'already-armed',
          'earlier run',
          `the machine is already prepared (${run.journal.startedAt}): the next boot starts stage 2`,
          `Reboot to migrate. To take it back, run "migrate undo"`,
        ),
      ];
    case 'fell-back':
      return [
        error(
          'fell-back',
          'earlier run',
          `the migration of ${run.journal.startedAt} gave way to this system: ${run.reason}`,
          hint,
        ),
      ];
  }
}

function reasonOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Shown as it is.
  }
  return text.slice(0, 500);
}
