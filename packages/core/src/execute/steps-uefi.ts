// Lets the firmware find the new system: its partition has another GUID than the old one, so the old entry will not match.
import { MigrateError } from '../error.ts';
import type { Host } from '../host/host.ts';
import { efivarsDirectory, globalVariableGuid, loadOption, parseLoadOption, uint16List } from '../machine/uefi.ts';
import type { StepOf } from '../plan/plan.ts';
import type { StepContext, StepHandlers, UndoableHandler } from './execute.ts';
import type { Saved } from './journal.ts';
import { required } from './steps-stage2.ts';

/** NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS, UEFI specification 2.10 section 8.2. */
const variableAttributes = 7;

const setUefiBootEntry: UndoableHandler<StepOf<'set-uefi-boot-entry'>> = {
  describe: (step) => `add the UEFI boot entry "${step.description}" for ${step.filePath}, before the old ones`,
  prepare: async (step, { host }) => {
    const order = uint16List(await readVariable(host, 'BootOrder'));
    const number = await freeNumber(host, step.description);
    const former = await readVariable(host, variableName(number));
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
      variableName(number),
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
    if (former === undefined) await host.removeVariableFile(variablePath(variableName(number)));
    else await writeVariable(host, variableName(number), former);
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

/** Removes our own boot entry of that description, also from the boot order; nothing happens where there is none. */
export async function removeUefiBootEntry(host: Host, description: string): Promise<void> {
  const number = await numberOf(host, description);
  if (number === undefined) return;
  const order = uint16List(await readVariable(host, 'BootOrder'));
  await writeVariable(host, 'BootOrder', uint16Bytes(order.filter((entry) => entry !== number)));
  await host.removeVariableFile(variablePath(variableName(number)));
}

export const uefiSteps: Pick<StepHandlers, 'set-uefi-boot-entry'> = { 'set-uefi-boot-entry': setUefiBootEntry };

function variablePath(name: string): string {
  return `${efivarsDirectory}/${name}-${globalVariableGuid}`;
}

function variableName(number: number): string {
  return `Boot${number.toString(16).toUpperCase().padStart(4, '0')}`;
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
  for (const digits of await entryDigits(host)) {
    const number = Number.parseInt(digits, 16);
    const contents = await readVariable(host, `Boot${digits}`);
    if (contents !== undefined && parseLoadOption(number, contents).description === description) return number;
  }
  return undefined;
}

/** The four digits of each Boot#### variable, as it is written. */
async function entryDigits(host: Host): Promise<readonly string[]> {
  const names = await host.list(efivarsDirectory);
  return names.flatMap((name) => {
    const digits = /^Boot([0-9A-Fa-f]{4})-/.exec(name)?.[1];
    return digits === undefined || !name.endsWith(globalVariableGuid) ? [] : [digits];
  });
}

function uint16Bytes(values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => {
    bytes.writeUInt16LE(value, index * 2);
  });
  return bytes;
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
