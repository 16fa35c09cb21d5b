import { describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import { createMemoryHost, type MemoryHostOptions } from '../host/memory-host.ts';
import type { Plan, Step } from '../plan/plan.ts';
import type { Event } from './event.ts';
import { type Execution, execute, type StepHandlers, undoJournal } from './execute.ts';
import { readJournal } from './journal.ts';
import { fileSteps } from './steps-files.ts';

const steps: readonly Step[] = [
  { kind: 'make-directory', id: 'd1', path: '/boot/m', mode: 0o700 },
  { kind: 'make-directory', id: 'd2', path: '/boot/m/sub', mode: 0o700 },
  {
    kind: 'copy-files',
    id: 'copy',
    files: [
      { from: '/src/a', to: '/boot/m/a', mode: 0o600, sizeBytes: 1 },
      { from: '/src/b', to: '/boot/m/sub/b', mode: 0o700, sizeBytes: 1 },
    ],
  },
  { kind: 'write-plan', id: 'plan', path: '/boot/m/plan.json' },
  { kind: 'write-file', id: 'new', path: '/boot/custom.cfg', text: 'menu', mode: 0o600 },
  { kind: 'write-file', id: 'old', path: '/boot/existing', text: 'changed', mode: 0o644 },
];
const files = { '/src/a': 'A', '/src/b': 'B', '/boot/existing': 'before', '/state/keep': '' };
const plan = { id: 'p1', toolVersion: '1', version: 1 } as Plan;

function machine(options: MemoryHostOptions = {}) {
  const host = createMemoryHost({ files, ...options });
  const events: Event[] = [];
  const execution = (changes: Partial<Execution> = {}): Execution => ({
    steps,
    handlers: fileSteps as StepHandlers,
    context: { host, plan, emit: (event) => events.push(event), log: () => new Uint8Array() },
    journalPath: '/state/journal',
    ...changes,
  });
  return { host, events, execution };
}

/** Fails at the n-th change, once. */
function failingAt(n: number, thrown: () => Error = () => new MigrateError('write-failed', 'I/O error')) {
  let count = 0;
  return {
    onChange: () => {
      count += 1;
      if (count === n) throw thrown();
    },
    count: () => count,
  };
}

describe('execute', () => {
  it('does every step and leaves a complete journal', async () => {
    const { host, execution } = machine();
    expect(await execute(execution())).toEqual({ kind: 'done' });
    expect((await readJournal(host, '/state/journal'))?.phase).toBe('complete');
    expect(await host.readText('/boot/m/sub/b')).toBe('B');
  });

  it('takes everything back when any single change fails', async () => {
    const original = machine().host.snapshot();
    const dry = failingAt(0);
    await execute(machine({ onChange: dry.onChange }).execution());
    expect(dry.count()).toBeGreaterThan(10);
    for (let n = 1; n <= dry.count(); n += 1) {
      const { host, execution } = machine({ onChange: failingAt(n).onChange });
      expect((await execute(execution())).kind, `change ${n}`).toBe('undone');
      expect(host.snapshot(), `change ${n}`).toEqual(original);
    }
  });

  it('goes on where a run was cut, at every change, and can still be undone exactly', async () => {
    const original = machine().host.snapshot();
    const complete = machine();
    await execute(complete.execution());
    const withoutJournal = (snapshot: readonly string[]): readonly string[] =>
      snapshot.filter((line) => !line.startsWith('/state/journal'));
    for (let n = 1; n <= 20; n += 1) {
      let isDead = false;
      const { host, execution } = machine({
        onChange: () => {
          if (isDead) throw new Error('dead');
        },
      });
      // A cut: from change n on nothing happens any more, not even undo.
      let count = 0;
      const cut = machine({
        onChange: () => {
          count += 1;
          if (count >= n) throw new Error('power cut');
        },
      });
      await execute(cut.execution()).catch(() => undefined);
      const revived = createMemoryHost({ files: {} });
      (revived.nodes as Map<string, unknown>).clear();
      for (const [path, node] of cut.host.nodes)
        (revived.nodes as Map<string, unknown>).set(path, structuredClone(node));
      isDead = false;
      void host;
      const context = { ...execution().context, host: revived };
      expect(await execute(execution({ context })), `cut at ${n}`).toEqual({ kind: 'done' });
      expect(withoutJournal(revived.snapshot())).toEqual(withoutJournal(complete.host.snapshot()));
      const journal = await readJournal(revived, '/state/journal');
      if (journal === undefined) throw new Error('no journal');
      await undoJournal(journal, { ...execution(), context });
      expect(revived.snapshot(), `undone after a cut at ${n}`).toEqual(original);
    }
  });

  it('refuses the journal of another plan', async () => {
    const { host, execution } = machine();
    await execute(execution());
    const context = { ...execution().context, host, plan: { ...plan, id: 'p2' } };
    await expect(execute(execution({ context }))).rejects.toThrow(/belongs to another plan/);
  });
});

describe('the point of no return', () => {
  const flash: Step = { kind: 'flash-image', id: 'flash', payload: 'image', sizeBytes: 1, writtenBytes: 1 };
  const commit: Step = { kind: 'commit-image', id: 'commit', payload: 'image' };
  const handlers = (apply: () => Promise<void>): StepHandlers =>
    ({
      ...fileSteps,
      'flash-image': { describe: () => 'flash', apply, redo: true },
      'commit-image': { describe: () => 'commit', apply: async () => {}, redo: true },
    }) as unknown as StepHandlers;

  it('is announced once, before the first step that cannot be undone', async () => {
    const { execution } = machine();
    const order: string[] = [];
    await execute(
      execution({
        steps: [flash, commit],
        handlers: handlers(async () => void order.push('flash')),
        passPointOfNoReturn: async () => void order.push('point'),
      }),
    );
    expect(order).toEqual(['point', 'flash']);
  });

  it('is not passed when announcing it fails', async () => {
    const { execution } = machine();
    let hasFlashed = false;
    const outcome = await execute(
      execution({
        steps: [flash],
        handlers: handlers(async () => {
          hasFlashed = true;
        }),
        passPointOfNoReturn: () => Promise.reject(new MigrateError('write-failed', 'no marker')),
      }),
    );
    expect([outcome.kind, hasFlashed]).toEqual(['undone', false]);
  });

  it('starts a failing step again and undoes nothing behind it', async () => {
    const { execution, host } = machine();
    let tries = 0;
    const failing = handlers(async () => {
      tries += 1;
      throw new MigrateError('write-failed', 'I/O error');
    });
    const first = steps[0] as Step;
    const outcome = await execute(execution({ steps: [first, flash], handlers: failing }));
    expect([outcome.kind, tries]).toEqual(['failed-after-point-of-no-return', 3]);
    expect(await host.status('/boot/m')).toBeDefined();
  });

  it('is resumed at the step that was cut', async () => {
    const { execution } = machine();
    await execute(
      execution({
        steps: [flash, commit],
        handlers: handlers(() => Promise.reject(new MigrateError('write-failed', 'x'))),
      }),
    );
    let tries = 0;
    const outcome = await execute(
      execution({
        steps: [flash, commit],
        handlers: handlers(async () => {
          tries += 1;
        }),
      }),
    );
    expect([outcome.kind, tries]).toEqual(['done', 1]);
  });
});
