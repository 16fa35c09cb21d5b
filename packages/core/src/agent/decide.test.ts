import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AgentIdentity, type AgentInput, type AgentState, decide, initialState } from './decide.ts';
import type { GoAhead } from './go-ahead.ts';

const identity: AgentIdentity = { device: 'till-1', requiresPlan: false };
const goAhead: GoAhead = { id: 'a', devices: ['till-1'], action: 'migrate', issuedMs: 10 };

function run(inputs: readonly AgentInput[], { as = identity, from = initialState } = {}) {
  let state: AgentState = from;
  const effects = inputs.map((input) => {
    const decision = decide(state, input, as);
    state = decision.state;
    return decision.effect;
  });
  return { state, effects, last: effects.at(-1) };
}

const polled = (more: Partial<GoAhead> = {}, nowMs = 0): AgentInput => ({
  kind: 'polled',
  goAhead: { ...goAhead, ...more },
  nowMs,
});
const pretended = (plan = 'p', goAheadId = 'a'): AgentInput => ({
  kind: 'pretended',
  goAheadId,
  outcome: { plan, findings: [] },
});

describe('the agent', () => {
  test('looks first, then migrates, and says so', () => {
    const { effects, state } = run([polled(), pretended(), { kind: 'migrated', goAheadId: 'a' }]);
    expect(effects).toMatchObject([
      { kind: 'pretend' },
      { kind: 'migrate', plan: 'p' },
      { kind: 'report', report: { device: 'till-1', goAhead: 'a', outcome: 'migrating' } },
    ]);
    expect(run([polled({ id: 'b', issuedMs: 99 })], { from: state }).last).toEqual({ kind: 'wait' });
    const { last, state: back } = run([{ kind: 'started', formerRun: 'it gave way' }], { from: state });
    expect(last).toMatchObject({ report: { outcome: 'came-back', message: 'it gave way' } });
    expect(run([polled()], { from: back }).last).toEqual({ kind: 'wait' });
    expect(run([polled({ id: 'b', issuedMs: 99 })], { from: back }).last).toMatchObject({ kind: 'pretend' });
  });

  test('only looks where it is asked to pretend', () => {
    expect(run([polled({ action: 'pretend' }), pretended()]).last).toMatchObject({
      report: { outcome: 'ready', plan: 'p' },
    });
  });

  test.each([
    ['names another device', polled({ devices: ['till-2', 'till'] }), undefined],
    ['has ended', polled({ expiresMs: 5 }, 5), 'expired'],
  ])('does nothing for a go-ahead that %s', (_, input, outcome) => {
    const { last } = run([input]);
    expect(last).toMatchObject(outcome === undefined ? { kind: 'wait' } : { report: { outcome } });
  });

  test('does nothing for one that is older, or was spent, even under a new time', () => {
    const { state } = run([polled(), { kind: 'pretended', goAheadId: 'a', outcome: { findings: [] } }]);
    expect(state).not.toHaveProperty('underway');
    for (const more of [{}, { id: 'b', issuedMs: 10 }, { id: 'b', issuedMs: 9 }, { issuedMs: 11 }])
      expect(run([polled(more)], { from: state }).last).toEqual({ kind: 'wait' });
  });

  test('keeps to the plan that was named, and asks for one where that is wanted', () => {
    expect(run([polled({ plan: 'other' }), pretended('p')]).last).toMatchObject({
      report: { outcome: 'refused', plan: 'p', message: expect.stringContaining('the go-ahead is for other') },
    });
    const as = { ...identity, requiresPlan: true };
    expect(run([polled()], { as }).last).toMatchObject({ report: { outcome: 'refused' } });
    expect(run([polled({ plan: 'p' }), pretended('p')], { as }).last).toMatchObject({ kind: 'migrate' });
    expect(run([polled({ action: 'pretend' })], { as }).last).toMatchObject({ kind: 'pretend' });
  });

  test('reports a failure and waits; so it does after it was stopped', () => {
    const failed = run([polled(), pretended(), { kind: 'migrated', goAheadId: 'a', failure: 'no space' }]);
    expect(failed.last).toMatchObject({ report: { outcome: 'failed', message: 'no space' } });
    expect(run([polled()], { from: failed.state }).last).toEqual({ kind: 'wait' });
    const stopped = run([polled(), { kind: 'started', formerRun: 'none' }]);
    expect(stopped.last).toMatchObject({ report: { outcome: 'interrupted' } });
    expect(run([pretended()], { from: stopped.state }).last).toEqual({ kind: 'wait' });
  });
});

const name = fc.constantFrom('a', 'b', 'c');
const input: fc.Arbitrary<AgentInput> = fc.oneof(
  fc.record({ kind: fc.constant('started' as const), formerRun: fc.constant('x') }),
  fc.record({
    kind: fc.constant('polled' as const),
    nowMs: fc.nat(5),
    goAhead: fc.record(
      {
        id: name,
        devices: fc.subarray(['till-1', 'till-2', 'till-3']),
        action: fc.constantFrom('pretend' as const, 'migrate' as const),
        issuedMs: fc.nat(6),
        plan: fc.constantFrom('p', 'q'),
        expiresMs: fc.nat(6),
      },
      { requiredKeys: ['id', 'devices', 'action', 'issuedMs'] },
    ),
  }),
  fc.record({
    kind: fc.constant('pretended' as const),
    goAheadId: name,
    outcome: fc.record({ plan: fc.constantFrom('p', 'q'), findings: fc.constant([]) }, { requiredKeys: ['findings'] }),
  }),
  fc.record(
    { kind: fc.constant('migrated' as const), goAheadId: name, failure: fc.constant('x') },
    { requiredKeys: ['kind', 'goAheadId'] },
  ),
);

test('no sequence of events migrates without a go-ahead that names this device, is newer than all before, and was not spent', () => {
  let migrations = 0;
  fc.assert(
    fc.property(fc.array(input, { maxLength: 25 }), fc.boolean(), (inputs, requiresPlan) => {
      let state = initialState;
      const seen: GoAhead[] = [];
      const spent: GoAhead[] = [];
      for (const event of inputs) {
        if (event.kind === 'polled') seen.push(event.goAhead);
        const { state: next, effect } = decide(state, event, { device: 'till-1', requiresPlan });
        // What is remembered survives a restart as it is.
        state = JSON.parse(JSON.stringify(next)) as AgentState;
        if (effect.kind !== 'migrate') continue;
        migrations += 1;
        const by = effect.goAhead;
        expect(seen).toContainEqual(by);
        expect(by.devices).toContain('till-1');
        expect(by.action).toBe('migrate');
        expect(event).toMatchObject({ kind: 'pretended', goAheadId: by.id, outcome: { plan: effect.plan } });
        if (by.plan !== undefined || requiresPlan) expect(effect.plan).toBe(by.plan);
        for (const earlier of spent) {
          expect(by.issuedMs).toBeGreaterThan(earlier.issuedMs);
          expect(by.id).not.toBe(earlier.id);
        }
        spent.push(by);
      }
    }),
    { numRuns: 3000 },
  );
  // The property is about something.
  expect(migrations).toBeGreaterThan(10);
});
