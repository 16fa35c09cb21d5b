import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { checkFormerRun, findFormerRun } from './former-run.ts';
import type { Journal } from './journal.ts';

const journal: Journal = {
  version: 1,
  planId: 'p',
  toolVersion: '1',
  bootId: 'boot-1',
  startedAt: '2026-01-01T00:00:00Z',
  phase: 'complete',
  entries: [],
};

function machine(changes: Partial<Journal> | undefined, files: Record<string, string> = {}) {
  return createMemoryHost({
    files: {
      '/proc/sys/kernel/random/boot_id': 'boot-1\n',
      ...(changes === undefined ? {} : { '/s/journal.json': JSON.stringify({ ...journal, ...changes }) }),
      ...files,
    },
  });
}

describe('findFormerRun', () => {
  it.each<[string, Parameters<typeof machine>, string | undefined]>([
    ['none', [undefined], undefined],
    ['half-done', [{ phase: 'running' }], 'half-done-run'],
    ['half-done', [{ phase: 'undoing' }], 'half-done-run'],
    ['armed', [{}], 'already-armed'],
    ['fell-back', [{ bootId: 'boot-0' }], 'fell-back'],
    ['fell-back', [{}, { '/s/stage2-result.json': '{"message":"the image has changed"}' }], 'fell-back'],
  ])('tells %s', async (kind, args, code) => {
    const run = await findFormerRun(machine(...args), '/s');
    expect(run.kind).toBe(kind);
    expect(checkFormerRun(run).map((finding) => finding.code)).toEqual(code === undefined ? [] : [code]);
  });

  it('gives the reason that stage 2 left', async () => {
    const run = await findFormerRun(
      machine({ bootId: 'boot-0' }, { '/s/stage2-result.json': '{"message":"the image has changed"}' }),
      '/s',
    );
    expect(run).toMatchObject({ reason: 'the image has changed' });
  });

  it('looks for word where stage 2 leaves it, once a run was armed', async () => {
    const host = machine({ bootId: 'boot-0' }, { '/volume/stage2-result.json': '{"message":"the image has changed"}' });
    expect(await findFormerRun(host, '/s', async () => '/volume')).toMatchObject({ reason: 'the image has changed' });
    expect(await findFormerRun(host, '/s', async () => undefined)).toMatchObject({
      reason: expect.stringContaining('left no word'),
    });
    await findFormerRun(machine(undefined), '/s', () => Promise.reject(new Error('it was not asked')));
  });

  it('refuses to guess from a damaged journal', async () => {
    const host = createMemoryHost({ files: { '/s/journal.json': '{"version":1,"pla' } });
    await expect(findFormerRun(host, '/s')).rejects.toThrow(/damaged/);
  });
});
