// What became of a run, for programs: docs/logs.md describes every field. Fields are only ever added within a version.
import { digestOf, isArchived } from '../assets/image.ts';
import type { Event } from '../execute/event.ts';
import { redactData } from '../log/redact.ts';
import type { Facts } from '../machine/facts.ts';
import type { Finding } from '../plan/finding.ts';
import type { Plan } from '../plan/plan.ts';

export const reportName = 'report.json';

/** How a run ended. The first eight are of stage 1, the others of stage 2. */
export type ReportResult =
  /** `pretend`: it could be migrated. */
  | 'planned'
  | 'refused'
  | 'not-confirmed'
  /** The next boot starts stage 2. */
  | 'prepared'
  /** Stage 1 failed and took everything back, or `undo` did. */
  | 'undone'
  | 'not-undone'
  | 'nothing-to-undo'
  /** It ended before anything was changed, with an error. */
  | 'failed'
  /** Flashed, verified and configured. */
  | 'migrated'
  /** `debug.no_flash`: everything but flashing was done. */
  | 'rehearsed'
  /** Stage 2 failed before the point of no return; the old system started again. */
  | 'gave-way';

export interface ReportStep {
  readonly id: string;
  readonly text: string;
  readonly state: 'started' | 'done' | 'failed' | 'undone';
  readonly milliseconds?: number;
}

export interface Report {
  readonly version: 1;
  readonly toolVersion: string;
  readonly stage: 1 | 2;
  readonly command: 'pretend' | 'immediate' | 'undo' | 'stage2';
  readonly result: ReportResult;
  /** Of the program; absent for stage 2. */
  readonly exitCode?: number;
  /** Why, in a sentence, where it is not the result that was asked for. */
  readonly message?: string;
  /** ISO 8601 in UTC; the clock may stand at 1970 in stage 2. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly machine?: {
    readonly hostname: string;
    readonly operatingSystem: string;
    readonly kernel: string;
    readonly model?: string;
  };
  readonly planId?: string;
  readonly device?: string;
  readonly deviceType?: string;
  readonly target?: { readonly path: string; readonly sizeBytes: number; readonly serial?: string };
  readonly image?: { readonly path: string; readonly sha256: string; readonly version?: string };
  readonly findings: readonly Finding[];
  readonly steps: readonly ReportStep[];
}

export interface ReportEnding {
  readonly result: ReportResult;
  readonly exitCode?: number;
  readonly message?: string;
  readonly facts?: Facts;
  readonly plan?: Plan;
  readonly findings?: readonly Finding[];
}

/** Collects what happens in a run. */
export function createReporter({
  toolVersion,
  stage,
  command,
  now,
}: Pick<Report, 'toolVersion' | 'stage' | 'command'> & { readonly now: () => Date }) {
  const startedAt = now().toISOString();
  const steps = new Map<string, ReportStep>();
  const change = (id: string, changes: Partial<ReportStep>): void => {
    steps.set(id, { id, text: '', state: 'started', ...steps.get(id), ...changes });
  };
  return {
    observe: (event: Event): void => {
      if (event.kind === 'step-started') change(event.step, { text: event.text, state: 'started' });
      if (event.kind === 'step-done') change(event.step, { state: 'done', milliseconds: event.milliseconds });
      if (event.kind === 'step-failed' && steps.has(event.step)) change(event.step, { state: 'failed' });
      if (event.kind === 'step-undone') change(event.step, { state: 'undone' });
    },
    report: ({ result, exitCode, message, facts, plan, findings = [] }: ReportEnding): Report =>
      redactData({
        version: 1,
        toolVersion,
        stage,
        command,
        result,
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(message === undefined ? {} : { message }),
        startedAt,
        finishedAt: now().toISOString(),
        ...(facts === undefined ? {} : { machine: machineOf(facts) }),
        ...(plan === undefined ? {} : planned(plan)),
        findings,
        steps: [...steps.values()],
      }),
  };
}

export type Reporter = ReturnType<typeof createReporter>;

export function serializeReport(report: Report): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`);
}

function machineOf({ hostname, os, kernel, hardware }: Facts): NonNullable<Report['machine']> {
  const model = hardware.deviceTreeModel ?? [hardware.vendor, hardware.product].filter(Boolean).join(' ');
  return {
    hostname,
    operatingSystem: os.prettyName,
    kernel: kernel.release,
    ...(model === '' ? {} : { model }),
  };
}

function planned(plan: Plan): Pick<Report, 'planId' | 'device' | 'deviceType' | 'target' | 'image'> {
  const { target, image } = plan;
  return {
    planId: plan.id,
    device: plan.device,
    deviceType: plan.deviceType,
    target: {
      path: target.pathInStage1,
      sizeBytes: target.sizeBytes,
      ...(target.serial === undefined ? {} : { serial: target.serial }),
    },
    image: {
      path: isArchived(image) ? 'balena.image.fs' : image.path,
      sha256: digestOf(image),
      ...(image.version === undefined ? {} : { version: image.version }),
    },
  };
}
