// Compressing a backup takes long, and matters only where it would not fit as it is.
import { type Assets, type Finding, type PlanResult, withMeasuredSize } from '@migrate/core';

const shortages = new Set(['backup-too-large', 'memory-too-small', 'space-too-small']);

/** The plan; where its backup finds no room uncompressed, the plan with the size that `measure` gives in bytes. */
export async function planWithRoom(
  assets: Assets,
  { plan, measure }: { plan: (assets: Assets) => PlanResult; measure: () => Promise<number> },
): Promise<PlanResult> {
  const first = plan(assets);
  const { backup } = assets;
  if (backup === undefined || !first.findings.some(isShortage)) return first;
  return plan({ ...assets, backup: withMeasuredSize(backup, await measure()) });
}

function isShortage({ code }: Finding): boolean {
  return shortages.has(code);
}
