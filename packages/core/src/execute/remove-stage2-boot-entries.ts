// What stage 2 told the firmware before the point of no return, and could not take back: the power was cut, or it died. Its own
// journal is in RAM and gone.
import { messageOf } from '../error.ts';
import type { Host } from '../host/host.ts';
import { efivarsDirectory } from '../machine/uefi.ts';
import { isIntact, type Plan, planLimitBytes, planVersion } from '../plan/plan.ts';
import type { Emit } from './event.ts';
import { type Journal, readBootId } from './journal.ts';
import { removeUefiBootEntry } from './steps-uefi.ts';

/**
 * Removes the UEFI boot entries that stage 2 of this run left. To be called before the journal of stage 1 is undone, for that
 * removes the plan. Never fails; what could not be removed is a warning.
 */
export async function removeStage2BootEntries(host: Host, journal: Journal, emit: Emit): Promise<void> {
  try {
    if (!(await mayHaveLeftEntries(host, journal))) return;
    const plan = await readPlanOf(host, journal);
    for (const entry of plan === undefined ? [] : bootEntriesOf(plan)) await remove(host, entry, emit);
  } catch (thrown) {
    const text = `It is not known whether stage 2 left UEFI boot entries: ${messageOf(thrown)}`;
    emit({ kind: 'note', level: 'warn', text });
  }
}

async function mayHaveLeftEntries(host: Host, { bootId }: Journal): Promise<boolean> {
  if (host.system === 'windows' || (await host.list(efivarsDirectory)).length === 0) return false;
  // Else the machine was not started again since, so there was no stage 2.
  return bootId !== (await readBootId(host));
}

/** Undefined where stage 1 wrote none, or an undo that was cut has removed it: after it removed the entries. */
async function readPlanOf(host: Host, { planId, entries }: Journal): Promise<Plan | undefined> {
  const path = entries.flatMap(({ step }) => (step.kind === 'write-plan' ? [step.path] : []))[0];
  if (path === undefined || (await host.status(path)) === undefined) return undefined;
  const text = new TextDecoder().decode(await host.readFile(path, { limitBytes: planLimitBytes }));
  const plan = (JSON.parse(text) ?? {}) as Plan;
  if (plan.version !== planVersion || plan.id !== planId || !isIntact(plan))
    throw new Error(`${path} is not as stage 1 wrote it`);
  return plan;
}

interface EntryOfStage2 {
  readonly description: string;
  /** By which it is told from an entry of the same name that was there before. */
  readonly partitionUuid: string;
}

function bootEntriesOf({ image, stage1, stage2 }: Plan): readonly EntryOfStage2[] {
  const lifeboat = [...stage1, ...stage2].flatMap((step) =>
    'way' in step && step.way.kind === 'gpt' ? [step.way.partitionGuid] : [],
  )[0];
  return stage2.flatMap((step) => {
    if (step.kind !== 'set-uefi-boot-entry') return [];
    const { description, partitionLabel } = step;
    const index = partitionLabel === undefined ? undefined : image.labels[partitionLabel];
    const system = index === undefined ? undefined : image.table.partitions[index]?.uuid;
    const partitionUuid = partitionLabel === undefined ? lifeboat : system;
    return partitionUuid === undefined ? [] : [{ description, partitionUuid }];
  });
}

async function remove(host: Host, { description, partitionUuid }: EntryOfStage2, emit: Emit): Promise<void> {
  try {
    if (!(await removeUefiBootEntry(host, description, partitionUuid))) return;
    const text = `the UEFI boot entry "${description}" of a stage 2 that was cut is removed`;
    emit({ kind: 'note', level: 'info', text });
  } catch (thrown) {
    const text = `the UEFI boot entry "${description}" of a stage 2 that was cut could not be removed: ${messageOf(thrown)}`;
    emit({ kind: 'note', level: 'warn', text });
  }
}
