import {
  exitCodes,
  type FormerRun,
  findFormerRun,
  type Host,
  MigrateError,
  messageOf,
  renderJson,
  renderLines,
  stateDirectory,
} from '@migrate/core';
import type { CommonOptions } from './command-options.ts';
import { undoStage1 } from './run-stage1.ts';

export async function undo(host: Host, options: CommonOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stdout) : renderLines(process.stderr);
  if (host.userId !== 0)
    throw new MigrateError('unsupported', 'only root can undo a migration; run the command with sudo');
  try {
    const wasThere = await undoStage1(host, emit);
    emit({
      kind: 'note',
      level: 'info',
      text: wasThere ? 'Everything was taken back.' : 'There is nothing to take back.',
    });
    return exitCodes.done;
  } catch (thrown) {
    if (thrown instanceof MigrateError && thrown.code === 'locked') throw thrown;
    emit({
      kind: 'note',
      level: 'error',
      text: `It could not be taken back: ${messageOf(thrown)}. Cure that and run "migrate undo" again.`,
    });
    return exitCodes.notUndone;
  }
}

export async function status(host: Host, options: CommonOptions): Promise<number> {
  const run = await findFormerRun(host, stateDirectory);
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ state: run.kind, ...('reason' in run ? { reason: run.reason } : {}) })}\n`,
    );
    return exitCodes.done;
  }
  process.stdout.write(`${formerRunText(run)}\n`);
  return exitCodes.done;
}

/** What an earlier run left, for a person. */
export function formerRunText(run: FormerRun): string {
  return {
    none: 'no migration was prepared on this machine',
    running: 'migrate is at work at this moment',
    'half-done': 'a run was cut before its end; "migrate undo" takes it back',
    armed: 'the machine is prepared: the next boot starts stage 2',
    'fell-back': `the migration gave way to this system: ${'reason' in run ? run.reason : ''}`,
  }[run.kind];
}
