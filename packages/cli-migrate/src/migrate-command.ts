import {
  askToGoOn,
  type Config,
  createReporter,
  type Emit,
  exitCodeOf,
  exitCodeOfThrown,
  exitCodes,
  explainPlan,
  type Finding,
  type Host,
  messageOf,
  type Plan,
  pathBelow,
  publicPlan,
  type ReportEnding,
  type Reporter,
  redact,
  redactData,
  renderFindings,
  renderJson,
  renderLines,
  reportName,
  serializeReport,
} from '@migrate/core';
import { choiceOf, type MigrateOptions, refuse, saveReport } from './command-options.ts';
import { fetchFor } from './download-command.ts';
import { type FoundConfig, findConfig } from './find-config.ts';
import { type Platform, platformOf } from './platform.ts';
import { prepare } from './prepare.ts';
import { restart } from './restart.ts';
import { runStage1, type Stage1Run } from './run-stage1.ts';
import { alsoSent } from './send-log.ts';
import { stepHandlers } from './step-handlers.ts';
import { toolVersion } from './version.ts';

export async function migrate(plain: Host, options: MigrateOptions): Promise<number> {
  const platform = await platformOf(plain);
  const { host } = platform;
  const found = await findConfig(host, choiceOf(options));
  const mode = options.mode ?? found.config?.migrate.mode ?? 'pretend';
  const command = mode === 'pretend' ? 'pretend' : 'immediate';
  const reporter = createReporter({ toolVersion, stage: 1, command, now: host.now });
  const terminal = options.json ? renderJson(process.stdout) : renderLines(process.stderr);
  // In pretend the JSON on standard output is one document.
  const shown: Emit = options.json && command === 'pretend' ? () => {} : terminal;
  const sent = await alsoSent(host, shown, found.config?.migrate.log);
  const emit: Emit = (event) => {
    reporter.observe(event);
    sent.emit(event);
  };
  const end = async (exitCode: number, ending: ReportEnding): Promise<void> => {
    await saveReport(host, options, reporter.report({ exitCode, ...ending }));
    const { result, message } = ending;
    const text = message === undefined ? result : `${result}: ${message}`;
    sent.sendOnly({ kind: 'note', level: exitCode === exitCodes.done ? 'info' : 'error', text: `migrate: ${text}` });
    await sent.close();
  };
  try {
    const { exitCode, reboots, ...ending } = await run(platform, options, { found, mode, emit, reporter });
    for (const finding of ending.findings ?? []) sent.sendOnly(noteOf(finding));
    await end(exitCode, ending);
    if (reboots !== true) return exitCode;
    return await restart(host, (code, message) =>
      saveReport(host, options, reporter.report({ ...ending, exitCode: code, message })),
    );
  } catch (thrown) {
    await end(exitCodeOfThrown(thrown), { result: 'failed', message: messageOf(thrown) });
    throw thrown;
  }
}

interface Run {
  readonly found: FoundConfig;
  readonly mode: string;
  readonly emit: Emit;
  readonly reporter: Reporter;
}

interface Ending extends ReportEnding {
  readonly exitCode: number;
  readonly reboots?: true;
}

async function run(platform: Platform, options: MigrateOptions, { found, mode, emit, reporter }: Run): Promise<Ending> {
  const { config, findings, workDirectory } = found;
  if (config === undefined)
    return { exitCode: refuse(findings, options, exitCodes.usage), result: 'refused', findings };
  const { host } = platform;
  const { image } = config.balena;
  if (mode === 'connected' && image?.kind === 'download')
    await fetchFor(host, { config, workDirectory, version: image.version, emit });
  const preparation = await prepare(platform, {
    config: options.reboot === false ? withoutReboot(config) : config,
    workDirectory,
    emit,
  });
  const all = [...findings, ...preparation.findings];
  const { plan, facts } = preparation;
  if (plan === undefined)
    return { exitCode: refuse(all, options, exitCodes.refused), result: 'refused', facts, findings: all };
  const known = { facts, plan, findings: all };
  if (mode === 'pretend' && options.json) {
    const document = redactData({ plan: publicPlan(plan), findings: all });
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
    return { exitCode: exitCodes.done, result: 'planned', ...known };
  }
  if (!options.json) process.stdout.write(`${redact(explainPlan(plan, { facts, handlers: stepHandlers }))}\n`);
  if (!options.json) process.stderr.write(renderFindings(all));
  if (mode === 'pretend') {
    process.stdout.write('Nothing was changed. Run with --mode immediate to migrate.\n');
    return { exitCode: exitCodes.done, result: 'planned', ...known };
  }
  if (options.yes !== true && !(await confirm(plan))) {
    process.stderr.write('migrate: not confirmed, nothing was changed\n');
    return { exitCode: exitCodes.refused, result: 'not-confirmed', ...known };
  }
  const stage1 = await carryOut(host, plan, { config, workDirectory, emit, json: options.json === true });
  const ending = { ...known, ...stage1 };
  const report = reporter.report(ending);
  if (options.json) process.stdout.write(`${JSON.stringify({ kind: 'report', report })}\n`);
  if (stage1.result === 'prepared') await keepReport(platform, emit, report);
  return ending;
}

function withoutReboot(config: Config): Config {
  const { rebootSeconds: _, ...migrate } = config.migrate;
  return { ...config, migrate };
}

async function carryOut(
  host: Host,
  plan: Plan,
  { json, ...run }: Stage1Run & { readonly json: boolean },
): Promise<Ending> {
  const { emit } = run;
  const outcome = await runStage1(host, plan, run);
  if (json) process.stdout.write(`${JSON.stringify({ kind: 'finished', outcome: outcome.kind, planId: plan.id })}\n`);
  if (outcome.kind !== 'done') {
    const isUndone = outcome.kind === 'undone';
    const state = isUndone
      ? 'everything was taken back'
      : `it could not be taken back: ${messageOf('undoCause' in outcome ? outcome.undoCause : outcome.cause)}; run "migrate undo"`;
    const message = `${outcome.cause.message}; ${state}`;
    process.stderr.write(`migrate: ${redact(message)}\n`);
    return { exitCode: exitCodeOf(outcome), result: isUndone ? 'undone' : 'not-undone', message };
  }
  const prepared = { exitCode: exitCodes.done, result: 'prepared' } as const;
  if (plan.rebootSeconds === undefined) {
    const text = 'The machine is prepared: reboot it to migrate, or run "migrate undo".';
    emit({ kind: 'note', level: 'info', text });
    return prepared;
  }
  emit({ kind: 'note', level: 'info', text: `The machine is prepared and reboots in ${plan.rebootSeconds} seconds.` });
  await new Promise((resolve) => setTimeout(resolve, (plan.rebootSeconds ?? 0) * 1000));
  return { ...prepared, reboots: true };
}

/** For whoever looks at the machine before it reboots, or after it came back. It is not worth failing for. */
async function keepReport(
  { host, stateDirectory }: Platform,
  emit: Emit,
  report: ReturnType<Reporter['report']>,
): Promise<void> {
  try {
    await host.writeDurable(pathBelow(stateDirectory, reportName), serializeReport(report), { mode: 0o600 });
  } catch (thrown) {
    emit({ kind: 'note', level: 'warn', text: `the report could not be kept: ${messageOf(thrown)}` });
  }
}

function noteOf({ severity, where, message }: Finding) {
  return { kind: 'note', level: severity === 'error' ? 'error' : 'warn', text: `${where}: ${message}` } as const;
}

async function confirm(plan: Plan): Promise<boolean> {
  const what =
    plan.pointOfNoReturn === undefined
      ? 'will be tried without flashing'
      : `${plan.target.pathInStage1} will be overwritten`;
  return askToGoOn('migrate', `All of the above will be done, and ${what}.`);
}
