// Stage-2 steps that make the new system file system by file system.
import {
  type ArchivesFacts,
  archivePayload,
  type FsImageSetting,
  isArchived,
  MigrateError,
  type PartitionName,
  partitionNames,
  payloadPath,
  type ReadingHandler,
  type RedoableHandler,
  required,
  type StepContext,
  type StepHandlers,
  type StepOf,
} from '@migrate/core';
import { commitTable, type WithheldTable } from './withheld-table.ts';
import {
  type FileSystemWrite,
  type PreparedFileSystems,
  prepareFileSystems,
  writeFileSystems,
} from './write-file-systems.ts';

/** What one step leaves for the next, in RAM. */
const preparedName = 'prepared-file-systems.json';
const withheldName = 'withheld-table.json';

const prove: ReadingHandler<StepOf<'prove-archives'>> = {
  describe: () => 'read the archives in RAM to their ends, and rehearse to make the partitions and file systems',
  apply: async (_step, context) => {
    const { archives, table } = imageOf(context);
    const prepared = await prepareFileSystems(writeRequest(context));
    const isSame =
      partitionNames.every((name) => prepared.archives[name].fileSha256 === archives[name].sha256) &&
      prepared.layout.partitions.every(({ startSector, sectors }, index) => {
        const planned = table.partitions[index];
        const { sectorBytes } = prepared.layout;
        return planned?.startByte === startSector * sectorBytes && planned.sizeBytes === sectors * sectorBytes;
      });
    if (!isSame)
      throw new MigrateError('verify-mismatch', 'the archives or the disk are not those that stage 1 planned for');
    await save(context, preparedName, prepared);
  },
  undo: 'nothing-to-undo',
};

const write: RedoableHandler<StepOf<'write-file-systems'>> = {
  describe: () =>
    'wipe the disk, make its file systems, unpack the archives into them and compare all with the archives',
  apply: async (_step, context) => {
    const prepared = await load<PreparedFileSystems>(context, preparedName);
    await save(context, withheldName, toText(await writeFileSystems(writeRequest(context), prepared)));
  },
  redo: true,
};

const commit: RedoableHandler<StepOf<'commit-table'>> = {
  describe: () => 'write the partition table: from here the new system boots',
  apply: async (_step, context) => {
    const { layout } = await load<PreparedFileSystems>(context, preparedName);
    const withheld = fromText(await load<WithheldText>(context, withheldName));
    const target = await context.host.openWrite(required(context.targetPath, 'target disk'));
    try {
      await commitTable(context.host, { target, layout, withheld });
    } finally {
      await target.close();
    }
  },
  redo: true,
};

export const archiveSteps: Pick<StepHandlers, 'prove-archives' | 'write-file-systems' | 'commit-table'> = {
  'prove-archives': prove,
  'write-file-systems': write,
  'commit-table': commit,
};

function imageOf({ plan }: StepContext): ArchivesFacts {
  if (!isArchived(plan.image)) throw new Error('this step is for plans with archives');
  return plan.image;
}

function writeRequest(context: StepContext): FileSystemWrite {
  const { setting } = imageOf(context);
  return {
    host: context.host,
    emit: context.emit,
    disk: required(context.targetPath, 'target disk'),
    setting: { ...setting, partitions: inRam(setting, context) },
    workDirectory: required(context.ramDirectory, 'RAM directory'),
  };
}

/** The archives where the payload was loaded to; load-payload has compared their hashes with the plan. */
function inRam({ partitions }: FsImageSetting, context: StepContext): FsImageSetting['partitions'] {
  return Object.fromEntries(
    partitionNames.map((name: PartitionName) => [
      name,
      { ...partitions[name], archive: { path: payloadPath(context, archivePayload(name)) } },
    ]),
  ) as FsImageSetting['partitions'];
}

interface WithheldText {
  readonly commitBytes: string;
  readonly backup?: { readonly startByte: number; readonly bytes: string };
}

function toText({ commitBytes, backup }: WithheldTable): WithheldText {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    commitBytes: text(commitBytes),
    ...(backup === undefined ? {} : { backup: { startByte: backup.startByte, bytes: text(backup.bytes) } }),
  };
}

function fromText({ commitBytes, backup }: WithheldText): WithheldTable {
  const bytes = (text: string): Uint8Array => Buffer.from(text, 'base64');
  return {
    commitBytes: bytes(commitBytes),
    ...(backup === undefined ? {} : { backup: { startByte: backup.startByte, bytes: bytes(backup.bytes) } }),
  };
}

async function save(context: StepContext, name: string, value: unknown): Promise<void> {
  await context.host.writeDurable(payloadPath(context, name), Buffer.from(JSON.stringify(value)), { mode: 0o600 });
}

/** Of what this very run of stage 2 has saved in RAM. */
async function load<T>(context: StepContext, name: string): Promise<T> {
  const bytes = await context.host.readFile(payloadPath(context, name), { limitBytes: 256 * 1024 * 1024 });
  return JSON.parse(new TextDecoder().decode(bytes)) as T;
}
