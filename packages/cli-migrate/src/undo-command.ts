import {
  createReporter,
  type Emit,
  exitCodeOfThrown,
  exitCodes,
  type FormerRun,
  type Host,
  MigrateError,
  messageOf,
  pathBelow,
  type ReportResult,
  redact,
  redactData,
  renderJson,
  renderLines,
  reportName,
  stage2ResultName,
} from '@migrate/core';
import { type CommonOptions, choiceOf, saveReport } from './command-options.ts';
import { type FoundConfig, findConfig } from './find-config.ts';
import { platformOf } from './platform.ts';
import { undoStage1 } from './run-stage1.ts';
import { alsoSent } from './send-log.ts';
import { toolVersion } from './version.ts';

export async function undo(plain: Host, options: CommonOptions): Promise<number> {
  const platform = await platformOf(plain);
  const { host } = platform;
  if (host.userId !== 0)
    throw new MigrateError('unsupported', 'only root, or an administrator of Windows, can undo a migration');
  const reporter = createReporter({ toolVersion, stage: 1, command: 'undo', now: host.now });
  const shown = options.json ? renderJson(process.stdout) : renderLines(process.stderr);
  const sent = await alsoSent(host, shown, (await configIfAny(host, options))?.config?.migrate.log);
  const emit: Emit = (event) => {
    reporter.observe(event);
    sent.emit(event);
  };
  const end = async (exitCode: number, result: ReportResult, message?: string): Promise<number> => {
    await saveReport(
      host,
      options,
      reporter.report({ result, exitCode, ...(message === undefined ? {} : { message }) }),
    );
    await sent.close();
    return exitCode;
  };
  try {
    const former = await platform.findFormerRun();
    const reason = former.kind === 'fell-back' ? former.reason : undefined;
    if (reason !== undefined) emit({ kind: 'note', level: 'warn', text: `The migration gave way: ${reason}` });
    const wasThere = await undoStage1(platform, emit);
    const text = wasThere ? 'Everything was taken back.' : 'There is nothing to take back.';
    emit({ kind: 'note', level: 'info', text });
    return await end(exitCodes.done, wasThere ? 'undone' : 'nothing-to-undo', reason);
  } catch (thrown) {
    if (thrown instanceof MigrateError && thrown.code === 'locked') {
      await end(exitCodeOfThrown(thrown), 'failed', thrown.message);
      throw thrown;
    }
    const text = `It could not be taken back: ${messageOf(thrown)}. Cure that and run "migrate undo" again.`;
    emit({ kind: 'note', level: 'error', text });
    return end(exitCodes.notUndone, 'not-undone', messageOf(thrown));
  }
}

/** Undo needs no configuration; one that is there names the log server. */
async function configIfAny(host: Host, options: CommonOptions): Promise<FoundConfig | undefined> {
  try {
    return await findConfig(host, choiceOf(options));
  } catch (thrown) {
    if (thrown instanceof MigrateError && options.config === undefined) return undefined;
    throw thrown;
  }
}

export async function status(plain: Host, options: CommonOptions): Promise<number> {
  const platform = await platformOf(plain);
  const { host, stateDirectory } = platform;
  const run = await platform.findFormerRun();
  if (options.json) {
    const results = await platform.resultDirectory();
    const reports = {
      report: await readReport(host, pathBelow(stateDirectory, reportName)),
      stage2: results === undefined ? undefined : await readReport(host, pathBelow(results, stage2ResultName)),
    };
    const reason = 'reason' in run ? { reason: run.reason } : {};
    process.stdout.write(`${JSON.stringify(redactData({ state: run.kind, ...reason, ...reports }))}\n`);
    return exitCodes.done;
  }
  process.stdout.write(`${redact(formerRunText(run))}\n`);
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

/** Undefined, and so left out, where there is none or it is damaged. */
async function readReport(host: Host, path: string): Promise<unknown> {
  try {
    return JSON.parse((await host.readText(path)) ?? '');
  } catch {
    return undefined;
  }
}
