// The agent's durable memory, and its last report.
import { MigrateError } from '../error.ts';
import type { Host, HostReader } from '../host/host.ts';
import { type AgentReport, type AgentState, initialState } from './decide.ts';

/** Apart from the state directory of migrations, which each of them makes and removes. */
export const agentDirectory = '/var/lib/balena-migrate-agent';

const statePath = `${agentDirectory}/state.json`;
const reportPath = `${agentDirectory}/report.json`;

/** A report as it is sent and kept. */
export interface DatedReport extends AgentReport {
  readonly version: 1;
  /** By the device's clock. */
  readonly reportedAt: string;
}

/** Throws `invalid-input` for a damaged file: with an empty memory old go-aheads would count again. */
export async function readAgentState(host: HostReader): Promise<AgentState> {
  const text = await host.readText(statePath);
  if (text === undefined) return initialState;
  try {
    const value: unknown = JSON.parse(text);
    if (isAgentState(value)) return value;
  } catch {
    // Falls through to the one error below.
  }
  throw new MigrateError(
    'invalid-input',
    `${statePath} is damaged: it says which go-aheads were acted on. Remove it once no old go-ahead is left`,
  );
}

function isAgentState(value: unknown): value is AgentState {
  if (typeof value !== 'object' || value === null) return false;
  const { version, last, spentIds, underway } = value as Partial<Record<keyof AgentState, unknown>>;
  const isLast =
    last === undefined || (isObject(last) && typeof last.id === 'string' && Number.isFinite(last.issuedMs));
  const isUnderway =
    underway === undefined ||
    (isObject(underway) &&
      isObject(underway.goAhead) &&
      typeof underway.goAhead.id === 'string' &&
      (underway.phase === 'pretending' || underway.phase === 'migrating'));
  return version === 1 && Array.isArray(spentIds) && isLast && isUnderway;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

export async function writeAgentState(host: Host, state: AgentState): Promise<void> {
  await write(host, statePath, state);
}

export async function readLastReport(host: HostReader): Promise<unknown> {
  try {
    return JSON.parse((await host.readText(reportPath)) ?? '');
  } catch {
    return undefined;
  }
}

export async function writeLastReport(host: Host, report: DatedReport): Promise<void> {
  await write(host, reportPath, report);
}

async function write(host: Host, path: string, value: object): Promise<void> {
  if ((await host.status(agentDirectory)) === undefined) await host.makeDirectory(agentDirectory, 0o700);
  await host.writeDurable(path, new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`), { mode: 0o600 });
}
