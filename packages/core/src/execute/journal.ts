// The executor's durable memory: what undo needs is written here before a step acts.
import { MigrateError } from '../error.ts';
import type { Host, HostReader } from '../host/host.ts';
import type { Plan, Step } from '../plan/plan.ts';

/** Plain data that a step leaves for its undo. */
export type Saved = null | boolean | number | string | readonly Saved[] | { readonly [key: string]: Saved };

export interface JournalEntry {
  readonly step: Step;
  readonly saved: Saved;
  /** `acting`: undo may find all, some or nothing of the step's effect. */
  readonly state: 'acting' | 'done';
}

export interface Journal {
  readonly version: 1;
  readonly planId: string;
  readonly toolVersion: string;
  /** /proc/sys/kernel/random/boot_id when the run started. */
  readonly bootId: string;
  readonly startedAt: string;
  readonly phase: 'running' | 'complete' | 'undoing';
  readonly entries: readonly JournalEntry[];
}

export async function readJournal(host: HostReader, path: string): Promise<Journal | undefined> {
  const text = await host.readText(path);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isJournal(value)) return value;
  } catch {
    // Falls through to the one error below.
  }
  throw new MigrateError(
    'invalid-input',
    `${path} is damaged: it is the only record of an earlier run, so it was left alone`,
  );
}

function isJournal(value: unknown): value is Journal {
  if (typeof value !== 'object' || value === null) return false;
  const { version, planId, phase, entries } = value as Partial<Record<keyof Journal, unknown>>;
  return version === 1 && typeof planId === 'string' && typeof phase === 'string' && Array.isArray(entries);
}

export async function writeJournal(host: Host, path: string, journal: Journal): Promise<void> {
  // 0600: paths and file contents of the boot configuration are nobody else's business.
  await host.writeDurable(path, new TextEncoder().encode(`${JSON.stringify(journal)}\n`), { mode: 0o600 });
}

export async function newJournal(host: HostReader, plan: Plan): Promise<Journal> {
  return {
    version: 1,
    planId: plan.id,
    toolVersion: plan.toolVersion,
    bootId: await readBootId(host),
    startedAt: host.now().toISOString(),
    phase: 'running',
    entries: [],
  };
}

/** Changes at every boot (Documentation/admin-guide/sysctl/kernel.rst, random). */
export async function readBootId(host: HostReader): Promise<string> {
  if (host.processes !== undefined) return host.processes.bootId();
  return ((await host.readText('/proc/sys/kernel/random/boot_id')) ?? '').trim();
}
