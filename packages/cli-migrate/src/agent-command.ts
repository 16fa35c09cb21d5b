// migrate agent run: the agent's doors, opened on this machine.
import { dirname } from 'node:path';
import {
  type AgentDoors,
  type AgentReport,
  agentDirectory,
  createNodeHttp,
  type DatedReport,
  deviceUrl,
  type Emit,
  exitCodes,
  findFormerRun,
  type GoAhead,
  goAheadSource,
  type Host,
  MigrateError,
  messageOf,
  type Plan,
  type Pretended,
  pause,
  planDigest,
  readAgentState,
  readBody,
  renderJson,
  renderLines,
  runAgent,
  stateDirectory,
  withLock,
  writeAgentState,
  writeLastReport,
} from '@migrate/core';
import { type AgentSetup, readAgentSetup } from './agent-setup.ts';
import type { CommonOptions } from './command-options.ts';
import { openHttp } from './connected.ts';
import { fetchFor } from './download-command.ts';
import { linuxPlatform } from './linux-platform.ts';
import { prepare } from './prepare.ts';
import { runStage1, undoStage1 } from './run-stage1.ts';
import { formerRunText } from './undo-command.ts';

/** Runs the agent until `signal`; what it is doing then is brought to its end first. */
export async function runAgentCommand(host: Host, options: CommonOptions, signal: AbortSignal): Promise<number> {
  if (host.userId !== 0)
    throw new MigrateError('unsupported', 'only root can migrate this machine; run the agent with sudo');
  const setup = await readAgentSetup(host, options);
  const emit = options.json ? renderJson(process.stdout) : renderLines(process.stderr);
  emit({ kind: 'note', level: 'info', text: `This is device ${setup.identity.device}; it waits for a go-ahead.` });
  try {
    await withLock(host, agentDirectory, () =>
      runAgent(agentDoors({ host, setup, options, emit, signal }), setup.identity),
    );
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'cancelled') throw thrown;
  }
  return exitCodes.done;
}

interface AgentContext {
  readonly host: Host;
  readonly setup: AgentSetup;
  readonly options: CommonOptions;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

function agentDoors(context: AgentContext): AgentDoors {
  const { host, setup, emit, signal } = context;
  const { source, identity, token, access, setting } = setup;
  const http = access === undefined ? createNodeHttp() : openHttp(access);
  let prepared: Plan | undefined;
  return {
    load: () => readAgentState(host),
    save: (state) => writeAgentState(host, state),
    formerRun: async () => formerRunText(await findFormerRun(host, stateDirectory)),
    look: goAheadSource({
      host,
      http,
      source,
      device: identity.device,
      ...(token === undefined ? {} : { token }),
      ...(access === undefined ? {} : { access }),
    }),
    now: () => host.now(),
    pretend: async (goAhead) => {
      const { plan, ...outcome } = await pretend(context, goAhead);
      prepared = plan;
      return plan === undefined ? outcome : { ...outcome, plan: planDigest(plan) };
    },
    migrate: async (_, digest) => {
      const plan = prepared;
      prepared = undefined;
      if (plan === undefined || planDigest(plan) !== digest) return 'the plan is no longer the one that was made';
      return migrate(context, plan);
    },
    reboot: async () => {
      const { rebootSeconds } = setup.config.migrate;
      if (rebootSeconds === undefined) return;
      await pause(rebootSeconds * 1000);
      await host.reboot();
    },
    report: (report) => sendReport(context, http, report),
    emit,
    pause: () => pause(setting.intervalSeconds * 1000, signal),
  };
}

/** Makes the plan, with the configuration as it is now. For a migration it first clears away and fetches what that needs. */
async function pretend(
  { host, options, emit }: AgentContext,
  { action }: GoAhead,
): Promise<Omit<Pretended, 'plan'> & { plan?: Plan }> {
  try {
    const { config, workDirectory } = await readAgentSetup(host, options);
    // Its service is systemd's.
    const platform = linuxPlatform(host);
    const { image } = config.balena;
    if (action === 'migrate') {
      const former = await platform.findFormerRun();
      if (former.kind === 'fell-back' || former.kind === 'half-done') await undoStage1(platform, emit);
      if (image?.kind === 'download') await fetchFor(host, { config, workDirectory, version: image.version, emit });
    }
    const { plan, findings } = await prepare(platform, { config, workDirectory, emit });
    return { findings, ...(plan === undefined ? {} : { plan }) };
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return { findings: [], failure: thrown.message };
  }
}

async function migrate({ host, setup, emit }: AgentContext, plan: Plan): Promise<string | undefined> {
  try {
    const outcome = await runStage1(host, plan, { ...setup, emit });
    if (outcome.kind === 'done') return undefined;
    const state =
      outcome.kind === 'undone' ? 'everything was taken back' : 'it could not be taken back: run "migrate undo"';
    return `${messageOf(outcome.cause)}; ${state}`;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return thrown.message;
  }
}

/** Keeps a report, and gives it to whoever the configuration names; a report that cannot be given stops nothing. */
async function sendReport({ host, setup, emit }: AgentContext, http: AgentHttp, report: AgentReport): Promise<void> {
  const dated: DatedReport = { version: 1, reportedAt: host.now().toISOString(), ...report };
  const { source, setting, identity, token } = setup;
  emit({ kind: 'note', level: 'info', text: `go-ahead ${report.goAhead}: ${report.outcome}: ${report.message}` });
  await writeLastReport(host, dated);
  const text = `${JSON.stringify(dated, null, 1)}\n`;
  const given = async (where: string, give: () => Promise<void>): Promise<void> => {
    try {
      await give();
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      emit({ kind: 'note', level: 'warn', text: `the report could not be given to ${where}: ${thrown.message}` });
    }
  };
  if (source.kind === 'watch') {
    const isDirectory = (await host.status(source.path))?.kind === 'directory';
    const path = `${isDirectory ? source.path : dirname(source.path)}/report.json`;
    await given(path, () => host.writeDurable(path, new TextEncoder().encode(text), { mode: 0o644 }));
  }
  const { reportUrl } = setting;
  if (reportUrl === undefined) return;
  const url = deviceUrl(reportUrl, identity.device);
  await given(reportUrl, async () => {
    const headers = { 'content-type': 'application/json' };
    const response = await http.request({
      method: 'POST',
      url,
      headers,
      body: text,
      ...(token === undefined ? {} : { bearer: token }),
    });
    await readBody(response);
    if (response.status >= 300) throw new MigrateError('read-failed', `status ${response.status}`);
  });
}

type AgentHttp = ReturnType<typeof createNodeHttp>;
