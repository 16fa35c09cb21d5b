import { MigrateError, messageOf } from '../error.ts';
import type { Host } from '../host/host.ts';
import type { LifeboatRecord } from '../lifeboat/lifeboat-record.ts';
import type { Plan, Step, StepKind, StepOf } from '../plan/plan.ts';
import type { Secret } from '../secret.ts';
import type { Emit } from './event.ts';
import { type Journal, type JournalEntry, newJournal, readJournal, type Saved, writeJournal } from './journal.ts';

/** What a handler acts with. */
export interface StepContext {
  readonly host: Host;
  readonly plan: Plan;
  readonly emit: Emit;
  /** Path of the disk to flash; only stage 2 knows it. */
  readonly targetPath?: string;
  /** Stage 2's directory in RAM. */
  readonly ramDirectory?: string;
  /** Where stage 2 found the payload's file system mounted. */
  readonly oldRoot?: string;
  /** Stage 2 with a lifeboat: what it holds need not be in RAM. */
  readonly lifeboat?: LifeboatRecord | undefined;
  /** Takes it where stage 2 makes it; `lifeboat` is that one from then on. */
  readonly keepLifeboat?: (record: LifeboatRecord) => Promise<void>;
  /** Directory with the payload's small files, where stage 2 was started from the lifeboat and has no old system any more. */
  readonly boardedFiles?: string;
  /** What `write-secret` writes; only stage 1 has it. */
  readonly secrets?: Readonly<Partial<Record<StepOf<'write-secret'>['secret'], Secret>>>;
  /** The log so far. */
  readonly log: () => Uint8Array;
  /** The report for the new system, which only one that was flashed can read. */
  readonly report?: () => Uint8Array;
}

interface StepHandlerBase<S extends Step> {
  /** One English sentence without a full stop, for the plan and for progress. */
  describe(step: S): string;
  /** What undo will need; journaled durably before `apply` starts. */
  prepare?(step: S, context: StepContext): Promise<Saved>;
  apply(step: S, context: StepContext): Promise<void>;
}

/** Before the point of no return: taken back exactly, also when `apply` was cut anywhere. */
export interface UndoableHandler<S extends Step> extends StepHandlerBase<S> {
  undo(step: S, saved: Saved, context: StepContext): Promise<void>;
}

/** Before the point of no return, for steps that leave nothing behind but RAM. */
export interface ReadingHandler<S extends Step> extends StepHandlerBase<S> {
  readonly undo: 'nothing-to-undo';
}

/** After the point of no return: run again from its start. */
export interface RedoableHandler<S extends Step> extends StepHandlerBase<S> {
  readonly redo: true;
}

export type StepHandler<S extends Step> = UndoableHandler<S> | ReadingHandler<S> | RedoableHandler<S>;

/** One handler for each kind; a missing one is a type error. */
export type StepHandlers = { readonly [K in StepKind]: StepHandler<StepOf<K>> };

export interface Execution {
  readonly steps: readonly Step[];
  readonly handlers: StepHandlers;
  readonly context: StepContext;
  readonly journalPath: string;
  /** Called once, before the first step that cannot be undone; that step starts only when it has returned. */
  readonly passPointOfNoReturn?: () => Promise<void>;
  /** How often a step after the point of no return is started again. */
  readonly attempts?: number;
}

/** What became of a run that did not throw. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'undone'; readonly cause: MigrateError }
  | { readonly kind: 'undo-failed'; readonly cause: MigrateError; readonly undoCause: unknown }
  | { readonly kind: 'failed-after-point-of-no-return'; readonly cause: MigrateError };

/** Runs the steps in order. A journal of the same plan, left by a run that was cut, is resumed. */
export async function execute(execution: Execution): Promise<Outcome> {
  const { context, journalPath, steps } = execution;
  const former = await readJournal(context.host, journalPath);
  if (former !== undefined && former.planId !== context.plan.id) {
    throw new MigrateError('busy', `${journalPath} belongs to another plan: undo that one first`);
  }
  const recorder = createRecorder(context.host, journalPath, former ?? (await newJournal(context.host, context.plan)));
  try {
    for (const step of steps) {
      if (recorder.isDone(step)) continue;
      await perform(step, execution, recorder);
    }
    await recorder.setPhase('complete');
    return { kind: 'done' };
  } catch (thrown) {
    return await settleFailure(thrown, execution, recorder);
  }
}

/** Takes back every step that a journal tells of, last one first, and removes the journal. */
export async function undoJournal(
  journal: Journal,
  { context, handlers, journalPath }: Pick<Execution, 'context' | 'handlers' | 'journalPath'>,
): Promise<void> {
  const recorder = createRecorder(context.host, journalPath, journal);
  await recorder.setPhase('undoing');
  for (const entry of [...journal.entries].reverse()) {
    await undoStep(entry, handlers, context);
    context.emit({ kind: 'step-undone', step: entry.step.id });
    await recorder.drop(entry.step);
  }
  await context.host.removeFile(journalPath);
}

/** The handler of a step. The cast is sound: a handler is stored under the kind of the steps it takes. */
export function handlerOf(handlers: StepHandlers, step: Step): StepHandler<Step> {
  return handlers[step.kind] as unknown as StepHandler<Step>;
}

async function perform(step: Step, execution: Execution, recorder: Recorder): Promise<void> {
  const { handlers, context } = execution;
  const handler = handlerOf(handlers, step);
  const text = handler.describe(step);
  const startedMs = performance.now();
  context.emit({ kind: 'step-started', step: step.id, text });
  const isRedo = 'redo' in handler;
  if (isRedo && !recorder.isPastPointOfNoReturn(handlers)) await execution.passPointOfNoReturn?.();
  // A step that a cut run had begun keeps what was saved then: its own half-made effect is not the original.
  if (!recorder.isKnown(step)) {
    await recorder.begin(step, (await handler.prepare?.(step, context)) ?? null);
  }
  await attempt(() => handler.apply(step, context), {
    times: isRedo ? (execution.attempts ?? 3) : 1,
    onRetry: (thrown) =>
      context.emit({ kind: 'note', level: 'warn', text: `${text} failed and is started again: ${messageOf(thrown)}` }),
  });
  await recorder.finish(step);
  context.emit({ kind: 'step-done', step: step.id, milliseconds: Math.round(performance.now() - startedMs) });
}

async function attempt(
  action: () => Promise<void>,
  { times, onRetry }: { times: number; onRetry: (thrown: unknown) => void },
): Promise<void> {
  for (let round = 1; ; round += 1) {
    try {
      await action();
      return;
    } catch (thrown) {
      if (round >= times || !(thrown instanceof MigrateError)) throw thrown;
      onRetry(thrown);
    }
  }
}

async function settleFailure(thrown: unknown, execution: Execution, recorder: Recorder): Promise<Outcome> {
  const { context, handlers } = execution;
  const journal = recorder.journal();
  const failedStep = journal.entries.find((entry) => entry.state === 'acting')?.step.id ?? 'start';
  context.emit({ kind: 'step-failed', step: failedStep, text: messageOf(thrown) });
  const cause =
    thrown instanceof MigrateError
      ? thrown
      : new MigrateError('internal', `a bug in this program: ${messageOf(thrown)}`, { cause: thrown });
  if (recorder.isPastPointOfNoReturn(handlers)) return { kind: 'failed-after-point-of-no-return', cause };
  try {
    await undoJournal(journal, { ...execution, context });
    return { kind: 'undone', cause };
  } catch (undoCause) {
    return { kind: 'undo-failed', cause, undoCause };
  }
}

async function undoStep({ step, saved }: JournalEntry, handlers: StepHandlers, context: StepContext): Promise<void> {
  const handler = handlerOf(handlers, step);
  if ('redo' in handler) throw new MigrateError('undo-failed', `"${handler.describe(step)}" cannot be undone`);
  if (handler.undo !== 'nothing-to-undo') await handler.undo(step, saved, context);
}

type Recorder = ReturnType<typeof createRecorder>;

function createRecorder(host: Host, path: string, initial: Journal) {
  let current = initial;
  const store = async (next: Journal): Promise<void> => {
    await writeJournal(host, path, next);
    current = next;
  };
  const without = (step: Step): readonly JournalEntry[] => current.entries.filter((entry) => entry.step.id !== step.id);
  const find = (step: Step): JournalEntry | undefined => current.entries.find((entry) => entry.step.id === step.id);
  return {
    journal: (): Journal => current,
    isKnown: (step: Step): boolean => find(step) !== undefined,
    isDone: (step: Step): boolean => find(step)?.state === 'done',
    isPastPointOfNoReturn: (handlers: StepHandlers): boolean =>
      current.entries.some((entry) => 'redo' in handlerOf(handlers, entry.step)),
    begin: (step: Step, saved: Saved): Promise<void> =>
      store({ ...current, entries: [...without(step), { step, saved, state: 'acting' }] }),
    finish: (step: Step): Promise<void> =>
      store({
        ...current,
        entries: current.entries.map((entry) => (entry.step.id === step.id ? { ...entry, state: 'done' } : entry)),
      }),
    drop: (step: Step): Promise<void> => store({ ...current, entries: without(step) }),
    setPhase: (phase: Journal['phase']): Promise<void> => store({ ...current, phase }),
  };
}
