// A boot entry for the loader on the payload's partition, and BootNext, by which the firmware starts it once. BootOrder is not touched.
import {
  bootVariableName,
  type Host,
  loadOption,
  MigrateError,
  parseLoadOption,
  type Saved,
  type StepHandlers,
  type StepOf,
  type UndoableHandler,
  uint16Bytes,
  uint16List,
} from '@migrate/core';
import { deleteVariable, readVariable, writeVariable } from '../boot/firmware-variables.ts';
import { findPayload } from './payload-partition.ts';

const setBootNext: UndoableHandler<StepOf<'set-uefi-boot-next'>> = {
  describe: ({ description, filePath }) =>
    `add the UEFI boot entry "${description}" for ${filePath} of the payload's partition, and start it once (BootNext)`,
  prepare: async ({ description }, { host }) => {
    const number = await freeNumber(host, description);
    return {
      number,
      entry: encoded(await readVariable(host, bootVariableName(number))),
      bootNext: encoded(await readVariable(host, 'BootNext')),
    };
  },
  apply: async ({ description, filePath, place }, { host }) => {
    const { number: partition, guid, sizeBytes, logicalSectorBytes } = await findPayload(host, place);
    const number = await freeNumber(host, description);
    const option = loadOption({
      description,
      filePath,
      partition: {
        number: partition,
        startLba: place.offsetBytes / logicalSectorBytes,
        sectors: sizeBytes / logicalSectorBytes,
        uuid: guid,
      },
    });
    await writeVariable(host, bootVariableName(number), option);
    await writeVariable(host, 'BootNext', uint16Bytes([number]));
  },
  undo: async (_step, saved, { host }) => {
    const { number, entry, bootNext } = savedVariables(saved);
    const restore = async (name: string, former: Uint8Array | undefined): Promise<void> => {
      const now = await readVariable(host, name);
      if (now === undefined ? former === undefined : former !== undefined && Buffer.compare(now, former) === 0) return;
      await (former === undefined ? deleteVariable(host, name) : writeVariable(host, name, former));
    };
    await restore('BootNext', bootNext);
    await restore(bootVariableName(number), entry);
  },
};

export const bootNextSteps: Pick<StepHandlers, 'set-uefi-boot-next'> = { 'set-uefi-boot-next': setBootNext };

/** Every number that is tried costs seconds; nobody has that many entries outside of the order. */
const triedNumbers = 64;

/** The lowest number that is free, or that of an earlier entry of ours, which stands in no order. */
async function freeNumber(host: Host, description: string): Promise<number> {
  const order = uint16List(await readVariable(host, 'BootOrder'));
  const numbers = Array.from({ length: triedNumbers }, (_, number) => number).filter(
    (number) => !order.includes(number),
  );
  for (const number of numbers) {
    const contents = await readVariable(host, bootVariableName(number));
    if (contents === undefined || parseLoadOption(number, contents).description === description) return number;
  }
  throw new MigrateError('no-space', 'the firmware has no free boot entry');
}

function encoded(contents: Uint8Array | undefined): string | null {
  return contents === undefined ? null : Buffer.from(contents).toString('base64');
}

function savedVariables(saved: Saved): {
  readonly number: number;
  readonly entry: Uint8Array | undefined;
  readonly bootNext: Uint8Array | undefined;
} {
  const { number, entry, bootNext } = (saved ?? {}) as Partial<Record<string, unknown>>;
  const isValue = (value: unknown): value is string | null => value === null || typeof value === 'string';
  if (typeof number !== 'number' || !isValue(entry) || !isValue(bootNext))
    throw new MigrateError('undo-failed', 'the journal lacks what the firmware variables were before');
  const decoded = (value: string | null): Uint8Array | undefined =>
    value === null ? undefined : Buffer.from(value, 'base64');
  return { number, entry: decoded(entry), bootNext: decoded(bootNext) };
}
