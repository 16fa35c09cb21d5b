// The agent's loop: what it looks at, and in which order it remembers and acts. What it decides is decide.ts.
import { MigrateError } from '../error.ts';
import type { Emit } from '../execute/event.ts';
import {
  type AgentIdentity,
  type AgentInput,
  type AgentReport,
  type AgentState,
  decide,
  type Pretended,
} from './decide.ts';
import { type GoAhead, parseGoAhead } from './go-ahead.ts';

export interface AgentDoors {
  readonly load: () => Promise<AgentState>;
  /** Durable when it returns. */
  readonly save: (state: AgentState) => Promise<void>;
  /** What an earlier migration left, in words. */
  readonly formerRun: () => Promise<string>;
  /** See goAheadSource. */
  readonly look: () => Promise<string | undefined>;
  readonly now: () => Date;
  readonly pretend: (goAhead: GoAhead) => Promise<Pretended>;
  /**
   * Carries out stage 1; returns why it failed, undefined where the next boot starts stage 2. It does the same plan that was pretended,
   * or nothing.
   */
  readonly migrate: (goAhead: GoAhead, plan: string) => Promise<string | undefined>;
  /** Reboots where the configuration wants it. */
  readonly reboot: () => Promise<void>;
  readonly report: (report: AgentReport) => Promise<void>;
  readonly emit: Emit;
  /** Waits until the next look; throws `cancelled` when the agent is to end. */
  readonly pause: () => Promise<void>;
}

/** Looks and acts until it is cancelled. Throws what `load`, `save` and `pause` throw; all else is reported, and it goes on. */
export async function runAgent(doors: AgentDoors, identity: AgentIdentity): Promise<void> {
  const { load, formerRun, pause } = doors;
  let state = await load();
  const act = async (input: AgentInput): Promise<void> => {
    for (let next: AgentInput | undefined = input; next !== undefined; ) {
      const decision = decide(state, next, identity);
      // Before anything is done: a go-ahead must be spent even when the power goes now.
      if (decision.state !== state) await doors.save(decision.state);
      state = decision.state;
      next = await carryOut(doors, decision.effect);
    }
  };
  const look = lookWith(doors);
  await act({ kind: 'started', formerRun: await formerRun() });
  for (;;) {
    const goAhead = await look();
    if (goAhead !== undefined) await act({ kind: 'polled', goAhead, nowMs: doors.now().getTime() });
    await pause();
  }
}

type Effect = ReturnType<typeof decide>['effect'];

async function carryOut(doors: AgentDoors, effect: Effect): Promise<AgentInput | undefined> {
  switch (effect.kind) {
    case 'wait':
      return undefined;
    case 'report':
      await doors.report(effect.report);
      if (effect.report.outcome === 'migrating') await doors.reboot();
      return undefined;
    case 'pretend':
      return { kind: 'pretended', goAheadId: effect.goAhead.id, outcome: await doors.pretend(effect.goAhead) };
    case 'migrate': {
      const failure = await doors.migrate(effect.goAhead, effect.plan);
      return { kind: 'migrated', goAheadId: effect.goAhead.id, ...(failure === undefined ? {} : { failure }) };
    }
  }
}

/** A look that says what is wrong once, not at every round. */
function lookWith({ look, emit }: AgentDoors): () => Promise<GoAhead | undefined> {
  let complaint = '';
  return async () => {
    try {
      const text = await look();
      const goAhead = text === undefined ? undefined : parseGoAhead(text);
      if (text !== undefined) complaint = '';
      return goAhead;
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      if (thrown.message !== complaint) emit({ kind: 'note', level: 'warn', text: thrown.message });
      complaint = thrown.message;
      return undefined;
    }
  };
}
