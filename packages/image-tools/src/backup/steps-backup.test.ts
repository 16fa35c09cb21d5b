import { createHash } from 'node:crypto';
import {
  createMemoryHost,
  execute,
  type Plan,
  readSeal,
  type StepContext,
  type StepHandlers,
  type StepOf,
  undoJournal,
} from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { backupSteps } from './steps-backup.ts';

const step: StepOf<'write-backup'> = {
  kind: 'write-backup',
  id: 'write-backup',
  volumes: [
    { name: 'data', items: [{ source: '/srv', target: [] }], files: 2, contentBytes: 9 },
    { name: 'id', items: [{ source: '/etc/machine-id', target: ['old'] }], files: 1, contentBytes: 5 },
  ],
  to: '/state/backup.tgz',
  sealTo: '/state/backup.json',
  limitBytes: 100_000,
};
const files = { '/srv/a': 'canary', '/srv/sub/b': 'bbb', '/etc/machine-id': '0123\n', '/state/other': '' };
const plan = { id: 'plan', toolVersion: '0.1.0', stateDirectory: '/state' } as Plan;

function run(onChange: (change: string) => void = () => {}) {
  const host = createMemoryHost({ files, onChange });
  const context: StepContext = { host, plan, emit: () => {}, log: () => new Uint8Array() };
  const execution = {
    steps: [step],
    handlers: backupSteps as StepHandlers,
    context,
    journalPath: '/state/journal.json',
  };
  return { host, context, execution };
}

describe('write-backup', () => {
  it('leaves the archive with a seal of its size and hash', async () => {
    const { host, execution } = run();
    expect((await execute(execution)).kind).toBe('done');
    const bytes = await host.readFile(step.to);
    expect(await readSeal(host, step.sealTo, { planId: 'plan', limitBytes: 100_000 })).toEqual({
      planId: 'plan',
      sizeBytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    for (const path of [step.to, step.sealTo]) expect((await host.status(path))?.mode).toBe(0o600);
  });

  it('is taken back wherever it fails', async () => {
    let changes = 0;
    await execute(
      run(() => {
        changes += 1;
      }).execution,
    );
    expect(changes).toBeGreaterThan(5);
    for (let failing = 1; failing <= changes; failing += 1) {
      let count = 0;
      const { host, execution } = run(() => {
        count += 1;
        if (count === failing) throw new Error('this change fails');
      });
      const before = host.snapshot();
      const outcome = await execute(execution).catch((thrown: unknown) => thrown);
      if (outcome instanceof Error) expect(outcome.message).toBe('this change fails');
      expect(host.snapshot().filter((line) => !line.includes('journal.json'))).toEqual(before);
    }
  });

  it('is undone later, too', async () => {
    const { host, context, execution } = run();
    const before = host.snapshot();
    await execute(execution);
    const journal = JSON.parse((await host.readText('/state/journal.json')) ?? '');
    await undoJournal(journal, { ...execution, context });
    expect(host.snapshot()).toEqual(before);
  });

  it('tells volumes, and nothing of what is in them', () => {
    expect(backupSteps['write-backup'].describe(step)).toBe('back up data, id to /state/backup.tgz');
  });
});
