// Lets the firmware find the new system: its partition has another GUID than the old one, so the old entry will not match.
import { MigrateError } from '../error.ts';
import type { Host } from '../host/host.ts';
import type { BootEntry } from '../machine/facts.ts';
import {
  bootVariableName,
  efivarsDirectory,
  globalVariableGuid,
  loadOption,
  parseLoadOption,
  uint16Bytes,
  uint16List,
  variableAttributes,
} from '../machine/uefi.ts';
import type { StepOf } from '../plan/plan.ts';
import type { ReadingHandler, StepContext, StepHandlers, UndoableHandler } from './execute.ts';
import type { Saved } from './journal.ts';
import { required } from './steps-stage2.ts';

const setUefiBootEntry: UndoableHandler<StepOf<'set-uefi-boot-entry'>> = {
  describe: (step) => `add the UEFI boot entry "${step.description}" for ${step.filePath}, before the old ones`,
  prepare: async (step, { host }) => {
    const order = uint16List(await readVariable(host, 'BootOrder'));
    const number = await freeNumber(host, step.description);
    const former = await readVariable(host, bootVariableName(number));
    return { order, number, former: former === undefined ? null : Buffer.from(former).toString('base64') };
  },
  apply: async (step, context) => {
    const { host, plan } = context;
    const partition = partitionFor(step, context);
    const order = uint16List(await readVariable(host, 'BootOrder'));
    const number = await freeNumber(host, step.description);
    const sectorSize = plan.target.logicalSectorSize;
    await writeVariable(
      host,
      bootVariableName(number),
      loadOption({
        description: step.description,
        filePath: step.filePath,
        partition: {
          number: partition.number,
          startLba: partition.startByte / sectorSize,
          sectors: partition.sizeBytes / sectorSize,
          uuid: partition.uuid,
        },
      }),
    );
    // The old entries stay behind it: whichever exists on the disk boots.
    await writeVariable(host, 'BootOrder', uint16Bytes([number, ...order.filter((entry) => entry !== number)]));
  },
  undo: async (_step, saved, { host }) => {
    const { order, number, former } = savedEntry(saved);
    await writeVariable(host, 'BootOrder', uint16Bytes(order));
    if (former === undefined) await host.removeVariableFile(variablePath(bootVariableName(number)));
    else await writeVariable(host, bootVariableName(number), former);
  },
};

interface BootPartition {
  readonly number: number;
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly uuid: string;
}

function partitionFor(
  { partitionLabel }: StepOf<'set-uefi-boot-entry'>,
  { plan, lifeboat }: StepContext,
): BootPartition {
  if (partitionLabel === undefined) {
    const { partition, startByte, sizeBytes } = required(lifeboat, 'lifeboat');
    return { ...partition, startByte, sizeBytes };
  }
  const index = plan.image.labels[partitionLabel];
  const partition = index === undefined ? undefined : plan.image.table.partitions[index];
  if (partition === undefined) throw new MigrateError('wrong-image', `the image has no partition ${partitionLabel}`);
  return partition;
}

/**
 * Removes our own boot entries of that description, also from the boot order; with `partitionUuid` only what leads to that partition.
 * Tells whether there was one.
 */
export async function removeUefiBootEntry(host: Host, description: string, partitionUuid?: string): Promise<boolean> {
  const found = (await readEntries(host)).filter(
    (entry) =>
      entry.description === description && (partitionUuid === undefined || entry.partitionUuid === partitionUuid),
  );
  for (const { number } of found) {
    const order = uint16List(await readVariable(host, 'BootOrder'));
    const rest = order.filter((entry) => entry !== number);
    // A variable without data is none (UEFI specification 2.10, section 8.2, SetVariable).
    if (rest.length === 0) await host.removeVariableFile(variablePath('BootOrder'));
    else if (rest.length < order.length) await writeVariable(host, 'BootOrder', uint16Bytes(rest));
    await host.removeVariableFile(variablePath(bootVariableName(number)));
  }
  return found.length > 0;
}

/** The firmware deletes BootNext before it uses it (UEFI specification 2.10, section 3.1.1); not every firmware does. */
const confirmBootNextCleared: ReadingHandler<StepOf<'confirm-uefi-boot-next-cleared'>> = {
  describe: () =>
    'confirm that the firmware has spent BootNext, so that the old system boots if anything fails from here',
  apply: async (_step, { host }) => {
    if ((await readVariable(host, 'BootNext')) === undefined) return;
    await host.removeVariableFile(variablePath('BootNext'));
    if ((await readVariable(host, 'BootNext')) !== undefined)
      throw new MigrateError(
        'unsupported',
        'the firmware keeps BootNext, so a failure would start stage 2 again and again',
      );
  },
  undo: 'nothing-to-undo',
};

export const uefiSteps: Pick<StepHandlers, 'set-uefi-boot-entry' | 'confirm-uefi-boot-next-cleared'> = {
  'set-uefi-boot-entry': setUefiBootEntry,
  'confirm-uefi-boot-next-cleared': confirmBootNextCleared,
};

function variablePath(name: string): string {
  return `${efivarsDirectory}/${name}-${globalVariableGuid}`;
}

async function readVariable(host: Host, name: string): Promise<Uint8Array | undefined> {
  if ((await host.status(variablePath(name))) === undefined) return undefined;
  return (await host.readFile(variablePath(name))).subarray(4);
}

/** efivarfs takes a variable in one write: attributes, then data; and it is read back, as firmware may drop it. */
async function writeVariable(host: Host, name: string, data: Uint8Array): Promise<void> {
  const contents = new Uint8Array(4 + data.length);
  new DataView(contents.buffer).setUint32(0, variableAttributes, true);
  contents.set(data, 4);
  await host.writeVariableFile(variablePath(name), contents);
  const found = await readVariable(host, name);
  if (found === undefined || Buffer.compare(Buffer.from(found), Buffer.from(data)) !== 0) {
    throw new MigrateError('verify-mismatch', `the firmware did not keep the variable ${name}`);
  }
}

/** The number of our own earlier entry with this description, else the lowest free one. */
async function freeNumber(host: Host, description: string): Promise<number> {
  const own = await numberOf(host, description);
  if (own !== undefined) return own;
  const used = new Set((await entryDigits(host)).map((digits) => Number.parseInt(digits, 16)));
  for (let number = 0; number <= 0xffff; number += 1) if (!used.has(number)) return number;
  throw new MigrateError('no-space', 'the firmware has no free boot entry');
}

async function numberOf(host: Host, description: string): Promise<number | undefined> {
  return (await readEntries(host)).find((entry) => entry.description === description)?.number;
}

async function readEntries(host: Host): Promise<readonly BootEntry[]> {
  const entries: BootEntry[] = [];
  for (const digits of await entryDigits(host)) {
    const contents = await readVariable(host, `Boot${digits}`);
    if (contents !== undefined) entries.push(parseLoadOption(Number.parseInt(digits, 16), contents));
  }
  return entries;
}

/** The four digits of each Boot#### variable, as it is written. */
async function entryDigits(host: Host): Promise<readonly string[]> {
  const names = await host.list(efivarsDirectory);
  return names.flatMap((name) => {
    const digits = /^Boot([0-9A-Fa-f]{4})-/.exec(name)?.[1];
    return digits === undefined || !name.endsWith(globalVariableGuid) ? [] : [digits];
  });
}

interface SavedEntry {
  readonly order: readonly number[];
  readonly number: number;
  /** What the entry was before; undefined where there was none. */
  readonly former: Uint8Array | undefined;
}

function savedEntry(saved: Saved): SavedEntry {
  const { order, number, former } = (saved ?? {}) as Partial<Record<string, unknown>>;
  const isOrder = Array.isArray(order) && order.every((entry) => typeof entry === 'number');
  if (!isOrder || typeof number !== 'number' || (former !== null && typeof former !== 'string')) {
    throw new MigrateError('undo-failed', 'the journal lacks the former UEFI boot order');
  }
  return { order, number, former: former === null ? undefined : Buffer.from(former, 'base64') };
}
