// Steps of stage 2 that make a lifeboat where stage 1 could not.
import {
  MigrateError,
  parseGrubEnvironment,
  type ReadingHandler,
  type RedoableHandler,
  readExactly,
  required,
  type StepContext,
  type StepHandlers,
  type StepOf,
  setGrubVariable,
} from '@migrate/core';
import {
  fileAt,
  findLatePlace,
  type LateLifeboatRequest,
  makeLateLifeboat,
  openOldFileSystem,
} from './late-lifeboat.ts';
import { writeSector } from './write-sector.ts';

const sectorBytes = 512;
/** GRUB's environment block is 1 KiB; nobody makes large ones. */
const environmentLimitBytes = 64 * 1024;

const find: ReadingHandler<StepOf<'find-lifeboat-place'>> = {
  describe: ({ fromByte }) =>
    `find room for a lifeboat behind byte ${fromByte} of the disk, where neither the payload nor what boots it lies`,
  apply: async (description, context) => {
    const record = await findLatePlace(requestOf(context, description));
    // All that could keep it from being rearmed is found before the old system is given up.
    const rearming = context.plan.stage2.find((step) => step.kind === 'rearm-grub');
    if (rearming !== undefined) await rearmedSector(context, rearming);
    // Boot entries for it are made before it is.
    await keeperOf(context)({ ...record, pieces: [] });
  },
  undo: 'nothing-to-undo',
};

const rearm: RedoableHandler<StepOf<'rearm-grub'>> = {
  describe: ({ name }) =>
    `make GRUB start stage 2 every time from here, by one sector (${name}): the old system does not start again`,
  apply: async (step, context) => {
    const { host, targetPath } = context;
    const sector = await rearmedSector(context, step);
    if (sector !== undefined) await writeSector({ host, diskPath: required(targetPath, 'target disk') }, sector);
  },
  redo: true,
};

/**
 * The sector of GRUB's environment block as it is to be, and its place on the disk; undefined where it is so already. Throws where
 * that would not be one sector.
 */
async function rearmedSector(
  { host, targetPath }: StepContext,
  { fileSystem, pathInFileSystem, name, value }: StepOf<'rearm-grub'>,
): Promise<{ readonly startByte: number; readonly bytes: Uint8Array } | undefined> {
  await host.dropCaches();
  const reader = await host.openRead(required(targetPath, 'target disk'));
  try {
    const volume = await openOldFileSystem(reader, fileSystem);
    const entry = await fileAt(volume, pathInFileSystem);
    const before =
      entry.sizeBytes > environmentLimitBytes ? undefined : await readExactly(volume.open(entry), 0, entry.sizeBytes);
    if (before === undefined) throw new MigrateError('read-failed', `${pathInFileSystem} cannot be read`);
    const block = before.toString('latin1');
    if (parseGrubEnvironment(block, pathInFileSystem).get(name) === value) return undefined;
    const text = setGrubVariable(block, name, { value, path: pathInFileSystem });
    const after = Buffer.from(text, 'latin1');
    const [sector, ...others] = sectorsThatDiffer(before, after);
    if (sector === undefined || others.length > 0)
      throw new MigrateError('unsupported', `${name} does not fit into one sector of ${pathInFileSystem}`);
    const fileByte = sector * sectorBytes;
    const place = (await volume.placesOf(entry)).find(
      (part) => part.fileByte <= fileByte && fileByte + sectorBytes <= part.fileByte + part.sizeBytes,
    );
    if (place === undefined) throw new MigrateError('unsupported', `${pathInFileSystem} has a hole`);
    return {
      startByte: fileSystem.startByte + place.startByte + fileByte - place.fileByte,
      bytes: after.subarray(fileByte, fileByte + sectorBytes),
    };
  } finally {
    await reader.close();
  }
}

const write: RedoableHandler<StepOf<'write-lifeboat'>> = {
  describe: () => 'write the lifeboat over free blocks and files of the old system, and read it back from the disk',
  apply: async (_step, context) => {
    const description = context.plan.stage2.find((step) => step.kind === 'find-lifeboat-place');
    if (description === undefined) throw new Error('the plan does not say where the lifeboat lies');
    await keeperOf(context)(await makeLateLifeboat(requestOf(context, description)));
  },
  redo: true,
};

export const lateLifeboatSteps: Pick<StepHandlers, 'find-lifeboat-place' | 'rearm-grub' | 'write-lifeboat'> = {
  'find-lifeboat-place': find,
  'rearm-grub': rearm,
  'write-lifeboat': write,
};

function requestOf(context: StepContext, description: StepOf<'find-lifeboat-place'>): LateLifeboatRequest {
  const { host, emit, plan, targetPath } = context;
  const diskPath = required(targetPath, 'target disk');
  return { host, emit, diskPath, diskBytes: plan.target.sizeBytes, planId: plan.id, description };
}

function keeperOf({ keepLifeboat }: StepContext): NonNullable<StepContext['keepLifeboat']> {
  return required(keepLifeboat, 'keeper of the lifeboat');
}

function sectorsThatDiffer(before: Uint8Array, after: Uint8Array): readonly number[] {
  const count = Math.ceil(after.length / sectorBytes);
  return Array.from({ length: count }, (_, sector) => sector).filter((sector) => {
    const [from, to] = [sector * sectorBytes, (sector + 1) * sectorBytes];
    return !Buffer.from(before.subarray(from, to)).equals(Buffer.from(after.subarray(from, to)));
  });
}
