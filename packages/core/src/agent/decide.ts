// What the agent does next: pure. The rule that it exists for: a machine is migrated only by a go-ahead that names it, is newer than
// every one before, and was never acted on.
import type { Finding } from '../plan/finding.ts';
import type { GoAhead } from './go-ahead.ts';

/** What the agent remembers; durable before anything that follows from it is done. */
export interface AgentState {
  readonly version: 1;
  /** The newest go-ahead that was acted on, whatever became of it. */
  readonly last?: { readonly id: string; readonly issuedMs: number };
  /** Names of the last go-aheads that were acted on, oldest first. */
  readonly spentIds: readonly string[];
  /** What is being done, from before it begins until its end is known. */
  readonly underway?: { readonly goAhead: GoAhead; readonly phase: 'pretending' | 'migrating' };
}

export const initialState: AgentState = { version: 1, spentIds: [] };

export interface AgentIdentity {
  readonly device: string;
  readonly requiresPlan: boolean;
}

/** What came of pretending: a plan, or what stands against it. */
export interface Pretended {
  /** See planDigest; absent where something refuses. */
  readonly plan?: string;
  readonly findings: readonly Finding[];
  /** Why it could not even be tried. */
  readonly failure?: string;
}

export type AgentInput =
  /** The agent starts; what an earlier migration left, in words. */
  | { readonly kind: 'started'; readonly formerRun: string }
  | { readonly kind: 'polled'; readonly goAhead: GoAhead; readonly nowMs: number }
  | { readonly kind: 'pretended'; readonly goAheadId: string; readonly outcome: Pretended }
  | { readonly kind: 'migrated'; readonly goAheadId: string; readonly failure?: string };

export interface AgentReport {
  readonly device: string;
  readonly goAhead: string;
  readonly outcome: /** It could migrate; `plan` is what it would do. */
    | 'ready'
    /** Something stands against it. */
    | 'refused'
    /** The go-ahead has ended. */
    | 'expired'
    /** It migrates now; the next word comes from the new system, or is "came-back". */
    | 'migrating'
    /** Stage 1 failed. */
    | 'failed'
    /** The old system runs again after a migration was begun. */
    | 'came-back'
    /** The agent was stopped while it looked. */
    | 'interrupted';
  readonly message: string;
  readonly plan?: string;
  readonly findings: readonly Finding[];
}

export type AgentEffect =
  | { readonly kind: 'wait' }
  | { readonly kind: 'report'; readonly report: AgentReport }
  | { readonly kind: 'pretend'; readonly goAhead: GoAhead }
  | { readonly kind: 'migrate'; readonly goAhead: GoAhead; readonly plan: string };

export interface Decision {
  readonly state: AgentState;
  readonly effect: AgentEffect;
}

const rememberedIds = 200;

/** The next state and the one thing to do; what it does comes back as the next input. */
export function decide(state: AgentState, input: AgentInput, identity: AgentIdentity): Decision {
  switch (input.kind) {
    case 'started':
      return start(state, input.formerRun, identity);
    case 'polled':
      return consider(state, input, identity);
    case 'pretended':
      return afterPretending(state, input, identity);
    case 'migrated':
      return afterMigrating(state, input, identity);
  }
}

function start(state: AgentState, formerRun: string, identity: AgentIdentity): Decision {
  if (state.underway === undefined) return { state, effect: { kind: 'wait' } };
  const { goAhead, phase } = state.underway;
  return phase === 'migrating'
    ? report(idle(state), identity, goAhead, { outcome: 'came-back', message: formerRun })
    : report(idle(state), identity, goAhead, {
        outcome: 'interrupted',
        message: 'the agent was stopped while it looked',
      });
}

function consider(
  state: AgentState,
  { goAhead, nowMs }: { goAhead: GoAhead; nowMs: number },
  identity: AgentIdentity,
): Decision {
  const waiting: Decision = { state, effect: { kind: 'wait' } };
  if (state.underway !== undefined || !goAhead.devices.includes(identity.device)) return waiting;
  const isNewer = state.last === undefined || goAhead.issuedMs > state.last.issuedMs;
  if (!isNewer || state.spentIds.includes(goAhead.id)) return waiting;
  // Spent from here on, whatever becomes of it.
  const spent: AgentState = {
    version: 1,
    last: { id: goAhead.id, issuedMs: goAhead.issuedMs },
    spentIds: [...state.spentIds, goAhead.id].slice(-rememberedIds),
  };
  if (goAhead.expiresMs !== undefined && nowMs >= goAhead.expiresMs)
    return report(spent, identity, goAhead, { outcome: 'expired', message: 'the go-ahead has ended; give a new one' });
  if (goAhead.action === 'migrate' && identity.requiresPlan && goAhead.plan === undefined) {
    const message =
      'agent.require_plan is set and the go-ahead names no plan; pretend, and name the plan of the report';
    return report(spent, identity, goAhead, { outcome: 'refused', message });
  }
  return { state: { ...spent, underway: { goAhead, phase: 'pretending' } }, effect: { kind: 'pretend', goAhead } };
}

function afterPretending(
  state: AgentState,
  { goAheadId, outcome }: { goAheadId: string; outcome: Pretended },
  identity: AgentIdentity,
): Decision {
  const { underway } = state;
  if (underway?.phase !== 'pretending' || underway.goAhead.id !== goAheadId) return { state, effect: { kind: 'wait' } };
  const { goAhead } = underway;
  const { plan, findings, failure } = outcome;
  const refuse = (message: string): Decision =>
    report(idle(state), identity, goAhead, {
      outcome: 'refused',
      message,
      findings,
      ...(plan === undefined ? {} : { plan }),
    });
  if (plan === undefined || failure !== undefined) return refuse(failure ?? 'something stands against it');
  if (goAhead.plan !== undefined && goAhead.plan !== plan)
    return refuse(`the plan is now ${plan}, the go-ahead is for ${goAhead.plan}`);
  if (goAhead.action !== 'migrate')
    return report(idle(state), identity, goAhead, {
      outcome: 'ready',
      message: 'nothing stands against it',
      plan,
      findings,
    });
  return { state: { ...state, underway: { goAhead, phase: 'migrating' } }, effect: { kind: 'migrate', goAhead, plan } };
}

function afterMigrating(
  state: AgentState,
  { goAheadId, failure }: { goAheadId: string; failure?: string },
  identity: AgentIdentity,
): Decision {
  const { underway } = state;
  if (underway?.phase !== 'migrating' || underway.goAhead.id !== goAheadId) return { state, effect: { kind: 'wait' } };
  if (failure !== undefined)
    return report(idle(state), identity, underway.goAhead, { outcome: 'failed', message: failure });
  // Still underway: should this system run again, it did not succeed.
  return report(state, identity, underway.goAhead, {
    outcome: 'migrating',
    message: 'stage 2 starts with the next boot',
  });
}

function idle({ underway, ...state }: AgentState): AgentState {
  return state;
}

function report(
  state: AgentState,
  { device }: AgentIdentity,
  { id }: GoAhead,
  words: Pick<AgentReport, 'outcome' | 'message' | 'plan'> & { findings?: readonly Finding[] },
): Decision {
  return { state, effect: { kind: 'report', report: { device, goAhead: id, findings: [], ...words } } };
}
