import {
  askToGoOn,
  type Config,
  type Emit,
  exitCodeOf,
  exitCodes,
  explainPlan,
  type Host,
  messageOf,
  type Plan,
  publicPlan,
  renderFindings,
  renderJson,
  renderLines,
} from '@migrate/core';
import { cloudProgress, type ReportProgress } from './cloud-progress.ts';
import { choiceOf, type MigrateOptions, refuse } from './command-options.ts';
import { fetchFor } from './download-command.ts';
import { findConfig } from './find-config.ts';
import { prepare } from './prepare.ts';
import { runStage1 } from './run-stage1.ts';
import { stepHandlers } from './step-handlers.ts';

export async function migrate(host: Host, options: MigrateOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stdout) : renderLines(process.stderr);
  const { config, findings, workDirectory } = await findConfig(host, choiceOf(options));
  if (config === undefined) return refuse(findings, options, exitCodes.usage);
  const mode = options.mode ?? config.migrate.mode;
  const { image } = config.balena;
  if (mode === 'connected' && image?.kind === 'download')
    await fetchFor(host, { config, workDirectory, version: image.version, emit });
  const preparation = await prepare(host, {
    config: options.reboot === false ? withoutReboot(config) : config,
    workDirectory,
    emit: options.json && mode === 'pretend' ? () => {} : emit,
  });
  const all = [...findings, ...preparation.findings];
  const { plan, facts } = preparation;
  if (plan === undefined) return refuse(all, options, exitCodes.refused);
  if (mode === 'pretend' && options.json) {
    process.stdout.write(`${JSON.stringify({ plan: publicPlan(plan), findings: all }, null, 2)}\n`);
    return exitCodes.done;
  }
  if (!options.json) process.stdout.write(`${explainPlan(plan, { facts, handlers: stepHandlers })}\n`);
  if (!options.json) process.stderr.write(renderFindings(all));
  if (mode === 'pretend') {
    process.stdout.write('Nothing was changed. Run with --mode immediate to migrate.\n');
    return exitCodes.done;
  }
  if (options.yes !== true && !(await confirm(plan))) {
    process.stderr.write('migrate: not confirmed, nothing was changed\n');
    return exitCodes.refused;
  }
  const report = await cloudProgress(host, { config, workDirectory, emit });
  return prepareAndReboot(host, plan, { emit, json: options.json === true, report });
}

function withoutReboot(config: Config): Config {
  const { rebootSeconds: _, ...migrate } = config.migrate;
  return { ...config, migrate };
}

async function prepareAndReboot(
  host: Host,
  plan: Plan,
  { emit, json, report }: { emit: Emit; json: boolean; report: ReportProgress },
): Promise<number> {
  await report('preparing');
  const outcome = await runStage1(host, plan, emit);
  await report(outcome.kind === 'done' ? 'restarting' : 'failed');
  if (json) process.stdout.write(`${JSON.stringify({ kind: 'finished', outcome: outcome.kind, planId: plan.id })}\n`);
  if (outcome.kind !== 'done') {
    const state =
      outcome.kind === 'undone'
        ? 'everything was taken back'
        : `it could not be taken back: ${messageOf('undoCause' in outcome ? outcome.undoCause : outcome.cause)}; run "migrate undo"`;
    process.stderr.write(`migrate: ${outcome.cause.message}; ${state}\n`);
    return exitCodeOf(outcome);
  }
  if (plan.rebootSeconds === undefined) {
    emit({
      kind: 'note',
      level: 'info',
      text: 'The machine is prepared: reboot it to migrate, or run "migrate undo".',
    });
    return exitCodes.done;
  }
  emit({ kind: 'note', level: 'info', text: `The machine is prepared and reboots in ${plan.rebootSeconds} seconds.` });
  await new Promise((resolve) => setTimeout(resolve, (plan.rebootSeconds ?? 0) * 1000));
  await host.reboot();
  return exitCodes.done;
}

async function confirm(plan: Plan): Promise<boolean> {
  const what =
    plan.pointOfNoReturn === undefined
      ? 'will be tried without flashing'
      : `${plan.target.pathInStage1} will be overwritten`;
  return askToGoOn('migrate', `All of the above will be done, and ${what}.`);
}
