// The partition that stage 1 makes for its payload: how it comes, goes, is found again, and gets its files.
import {
  fileSteps,
  type Host,
  MigrateError,
  type PayloadPartition,
  type PayloadStep,
  pathBelow,
  type ReadingHandler,
  reserveSteps,
  type StepContext,
  type StepHandler,
  type StepHandlers,
  type StepOf,
  type UndoableHandler,
} from '@migrate/core';
import { createWindowsReader } from '../facts/inspect-windows.ts';
import { parseDisks } from '../facts/parse-disks.ts';
import { createPartitionScript, removePartitionScript } from '../powershell/change-scripts.ts';
import { runPowerShell } from '../powershell/run-powershell.ts';
import { writeWindowsConnections } from './write-connections.ts';

/** The partition as it is once it was made. */
export interface FoundPayload {
  /** Of its volume: "\\?\Volume{…}\" */
  readonly accessPath: string;
  /** UUID of its FAT. */
  readonly uuid: string;
  readonly number: number;
  /** Of the partition. */
  readonly guid: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
}

/** Asking Windows for its disks takes seconds, and the partition stays the same while a process works on it. */
const known = new WeakMap<object, Map<string, FoundPayload>>();

/** Finds the partition by its place and label; throws `not-found` where it is not there. */
export async function findPayload(host: Pick<Host, 'run'>, place: PayloadPartition): Promise<FoundPayload> {
  const key = `${place.diskGuid}:${place.offsetBytes}`;
  const found = known.get(host)?.get(key) ?? (await lookUp(host, place));
  const ofHost = known.get(host) ?? new Map<string, FoundPayload>();
  known.set(host, ofHost.set(key, found));
  return found;
}

async function lookUp(host: Pick<Host, 'run'>, place: PayloadPartition): Promise<FoundPayload> {
  const { disks } = parseDisks(await createWindowsReader(host)('read-disks'));
  const [disk, twin] = disks.filter(({ guid }) => guid === place.diskGuid);
  if (twin !== undefined)
    throw new MigrateError(
      'unsupported',
      `disks ${disk?.number} and ${twin.number} have the same GUID (${place.diskGuid}): take the copy out`,
    );
  const partition = disk?.partitions.find(({ offsetBytes }) => offsetBytes === place.offsetBytes);
  const volume = partition?.volume;
  if (disk === undefined || partition?.guid === undefined || volume?.uuid === undefined || volume.label !== place.label)
    throw new MigrateError(
      'not-found',
      `the partition for stage 2 (${place.label}, at ${place.offsetBytes} bytes of the disk ${place.diskGuid}) is not there`,
    );
  return {
    accessPath: volume.path,
    uuid: volume.uuid,
    number: partition.number,
    guid: partition.guid,
    sizeBytes: partition.sizeBytes,
    logicalSectorBytes: disk.logicalSectorBytes,
  };
}

const createPayload: UndoableHandler<StepOf<'create-payload-partition'>> = {
  describe: ({ place, sizeBytes }) =>
    `make the FAT32 partition ${place.label} of ${mebibytes(sizeBytes)} MiB at ${mebibytes(place.offsetBytes)} MiB of disk ${place.disk}`,
  apply: async ({ place, sizeBytes, typeGuid }, { host }) => {
    await runPowerShell(host, 'create-partition', { ...place, sizeBytes, typeGuid }, createPartitionScript);
    const found = await findPayload(host, place);
    if (found.sizeBytes !== sizeBytes)
      throw new MigrateError('verify-mismatch', `${place.label} has ${found.sizeBytes} bytes instead of ${sizeBytes}`);
  },
  undo: async ({ place, sizeBytes }, _saved, { host }) => {
    await runPowerShell(host, 'remove-partition', { ...place, sizeBytes }, removePartitionScript);
    known.delete(host);
  },
};

/** What is on the partition goes with it, so that these steps have nothing of their own to take back. */
const onPayload: ReadingHandler<StepOf<'on-payload-partition'>> = {
  describe: ({ place, step }) => `${innerHandler(step).describe(step)}, on ${place.label}`,
  apply: async ({ place, step }, context) => {
    const { accessPath, uuid } = await findPayload(context.host, place);
    const placed = placedStep(step, accessPath, uuid);
    for (const path of targetsOf(step)) await makeParents(context.host, accessPath, path);
    await innerHandler(placed).apply(placed, context);
  },
  undo: 'nothing-to-undo',
};

export const payloadSteps: Pick<StepHandlers, 'create-payload-partition' | 'on-payload-partition'> = {
  'create-payload-partition': createPayload,
  'on-payload-partition': onPayload,
};

interface InnerHandler {
  describe(step: PayloadStep): string;
  apply(step: PayloadStep, context: StepContext): Promise<void>;
}

/** The cast is sound: a handler is stored under the kind of the steps it takes. */
function innerHandler(step: PayloadStep): InnerHandler {
  const handlers: { readonly [K in PayloadStep['kind']]: Pick<StepHandler<StepOf<K>>, 'describe' | 'apply'> } = {
    ...fileSteps,
    ...reserveSteps,
    'write-connections': writeWindowsConnections,
  };
  return handlers[step.kind] as unknown as InnerHandler;
}

/** The same step with its targets below the volume's path, and with what is known of it only now. */
function placedStep(step: PayloadStep, accessPath: string, uuid: string): PayloadStep {
  const at = (path: string): string => pathBelow(accessPath, path);
  switch (step.kind) {
    case 'copy-files':
      return { ...step, files: step.files.map((file) => ({ ...file, to: at(file.to) })) };
    case 'write-connections':
      return { ...step, files: step.files.map((file) => ({ ...file, to: at(file.to) })) };
    case 'build-initramfs':
      return { ...step, path: at(step.path), settings: { ...step.settings, payloadUuid: uuid } };
    case 'pack-payload':
      return { ...step, path: at(step.path), files: step.files.map((file) => ({ ...file, from: at(file.from) })) };
    case 'reserve-lifeboat':
      return {
        ...step,
        path: at(step.path),
        sealPath: at(step.sealPath),
        sources: step.sources.map((source) => ({ ...source, from: at(source.from) })),
      };
    default:
      return { ...step, path: at(step.path) };
  }
}

function targetsOf(step: PayloadStep): readonly string[] {
  return 'path' in step ? [step.path] : step.files.map(({ to }) => to);
}

/** FAT has no modes; those of Windows for a volume without rights of its own hold. */
async function makeParents(host: Host, accessPath: string, path: string): Promise<void> {
  const names = path.split('/').filter(Boolean).slice(0, -1);
  for (let count = 1; count <= names.length; count += 1) {
    const directory = pathBelow(accessPath, names.slice(0, count).join('/'));
    if ((await host.status(directory)) === undefined) await host.makeDirectory(directory, 0o700);
  }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
