import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { StepContext } from '../execute/execute.ts';
import { createMemoryHost } from '../host/memory-host.ts';
import type { StepOf } from '../plan/plan.ts';
import { parseLifeboatSeal } from './lifeboat-seal.ts';
import { reserveSteps } from './reserve-lifeboat.ts';

const step: StepOf<'reserve-lifeboat'> = {
  kind: 'reserve-lifeboat',
  id: 'reserve',
  path: '/fat/volume.img',
  sizeBytes: 5000,
  sources: [
    { path: 'vmlinuz', from: '/fat/kernel' },
    { path: 'payload.img', from: '/fat/payload.img' },
  ],
  limitBytes: 100,
  sealPath: '/fat/seal.json',
};
const reserve = reserveSteps['reserve-lifeboat'];

function machine(payload = 'the payload') {
  const host = createMemoryHost({ files: { '/fat/kernel': 'a kernel', '/fat/payload.img': payload } });
  return { host, context: { host, plan: { id: 'a-plan' } } as unknown as StepContext };
}

describe('reserve-lifeboat', () => {
  it('makes a file of that size, and tells stage 2 what goes into it', async () => {
    const { host, context } = machine();
    await reserve.apply(step, context);
    expect((await host.status(step.path))?.sizeBytes).toBe(5000);
    const seal = parseLifeboatSeal(await host.readFile(step.sealPath), 'a-plan');
    const sealed = (path: string, text: string) => ({
      path,
      sizeBytes: text.length,
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    expect(seal.files).toEqual([sealed('vmlinuz', 'a kernel'), sealed('payload.img', 'the payload')]);
  });

  it('leaves nothing where that would not fit', async () => {
    const { host, context } = machine('x'.repeat(93));
    const before = host.snapshot();
    await expect(reserve.apply(step, context)).rejects.toMatchObject({ code: 'no-space' });
    expect(host.snapshot()).toEqual(before);
  });
});

describe('parseLifeboatSeal', () => {
  it.each([
    ['of another plan', { planId: 'other', files: [] }],
    ['without files', { planId: 'a-plan' }],
    ['with a file that is none', { planId: 'a-plan', files: [{ path: 'vmlinuz', sizeBytes: '8', sha256: '' }] }],
    ['that is null', null],
  ])('refuses one %s', (_, seal) => {
    expect(() => parseLifeboatSeal(Buffer.from(JSON.stringify(seal)), 'a-plan')).toThrow(/not what stage 1 wrote/);
  });

  it('refuses one that is cut', () => {
    expect(() => parseLifeboatSeal(Buffer.from('{"planId":"a-pl'), 'a-plan')).toThrow(/not what stage 1 wrote/);
  });
});
