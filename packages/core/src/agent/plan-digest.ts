import { createHash } from 'node:crypto';
import { type Plan, publicPlan } from '../plan/plan.ts';

/**
 * Names what a plan does, for go-aheads: the same while machine, image and configuration stay the same. Its id is not, since that
 * covers the free space of the moment.
 */
export function planDigest(plan: Plan): string {
  const { id, memory, spaces, ...done } = publicPlan(plan);
  return createHash('sha256').update(JSON.stringify(done)).digest('hex').slice(0, 32);
}
