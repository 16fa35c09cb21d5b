// Steps of both stages around the lifeboat.
import {
  alignedBuffers,
  type ByteWriter,
  type DiskPlace,
  type Host,
  type LifeboatRecord,
  MigrateError,
  messageOf,
  type ReadingHandler,
  type RedoableHandler,
  refuseExisting,
  removeUefiBootEntry,
  required,
  type StepContext,
  type StepHandlers,
  type StepOf,
  type UndoableHandler,
} from '@migrate/core';
import { wipeDiskEnd } from '../flash/commit-sectors.ts';
import type { LifeboatWay } from './lifeboat-contents.ts';
import { lifeboatSources } from './lifeboat-sources.ts';
import { makeLifeboat } from './make-lifeboat.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { lateLifeboatSteps } from './steps-late-lifeboat.ts';
import { volumeTime } from './write-lifeboat.ts';
import { writeSector } from './write-sector.ts';

const wipeChunkBytes = 1024 * 1024;

const make: UndoableHandler<StepOf<'make-lifeboat'>> = {
  describe: ({ fromByte }) =>
    `make a lifeboat behind byte ${fromByte} of the disk, in a file of the running system, and read it back from the disk`,
  prepare: async (step, { host }) => {
    for (const path of [step.path, step.placePath]) await refuseExisting(host, path);
    return null;
  },
  apply: async (step, { host, plan, emit }) => {
    const { way, disk } = await wayOf(host, step);
    const record = await makeLifeboat({
      ...step,
      host,
      emit,
      planId: plan.id,
      diskPath: plan.target.pathInStage1,
      files: await lifeboatSources(host, step.files),
      data: await lifeboatSources(host, step.data),
      layout: {
        way,
        serial: step.serial,
        time: volumeTime,
        disk: { sizeBytes: plan.target.sizeBytes, tableId: disk },
      },
    });
    const place = Buffer.from(`${JSON.stringify({ startByte: record.startByte })}\n`);
    await host.writeDurable(step.placePath, place, { mode: 0o600 });
  },
  undo: async (step, _saved, { host }) => {
    for (const path of [step.path, step.placePath]) await host.removeFile(path);
  },
};

const prove: ReadingHandler<StepOf<'prove-lifeboat'>> = {
  describe: () => 'read the lifeboat from the disk and compare it with what stage 1 wrote',
  apply: async ({ provenLater }, context) => {
    const { host, plan, emit } = context;
    const { startByte } = required(context.lifeboat, 'lifeboat');
    const disk = await host.openRead(required(context.targetPath, 'target disk'));
    try {
      await proveLifeboat(disk, { startByte, planId: plan.id }, emit, provenLater);
    } finally {
      await disk.close();
    }
  },
  undo: 'nothing-to-undo',
};

const switchTo: RedoableHandler<StepOf<'switch-to-lifeboat'>> = {
  describe: () => 'make the firmware boot the lifeboat, by one sector, until the new system is complete',
  apply: async (_step, context) => {
    const record = required(context.lifeboat, 'lifeboat');
    // Until the first one is durable, the old backup header is what firmware falls back upon.
    const disk = { host: context.host, diskPath: required(context.targetPath, 'target disk') };
    for (const sector of [record.switch, record.backup]) {
      if (sector === undefined) continue;
      await writeSector(disk, { startByte: sector.startByte, bytes: Buffer.from(sector.bytes, 'base64') });
    }
  },
  redo: true,
};

const leave: RedoableHandler<StepOf<'leave-lifeboat'>> = {
  describe: ({ secrets }) => `leave the lifeboat: wipe ${secrets.join(' and ')} in it, and what made it bootable`,
  apply: async ({ secrets, bootEntry }, context) => {
    const { host, plan, emit } = context;
    const record = required(context.lifeboat, 'lifeboat');
    // The new system boots already; nothing here is worth another start of stage 2, nor that the rest is left undone.
    const tryTo = async (what: string, act: () => Promise<unknown>): Promise<void> => {
      try {
        await act();
      } catch (thrown) {
        if (!(thrown instanceof MigrateError)) throw thrown;
        emit({ kind: 'note', level: 'warn', text: `${what}: ${messageOf(thrown)}` });
      }
    };
    await tryTo('secrets of the lifeboat were not wiped', () => wipeSecrets(context, record, secrets));
    if (bootEntry !== undefined)
      await tryTo('the boot entry of the lifeboat was not removed', () => removeUefiBootEntry(host, bootEntry));
    await tryTo('the end of the disk was not wiped', () => withDisk(context, (disk) => wipeDiskEnd(disk, plan.image)));
  },
  redo: true,
};

export const lifeboatSteps: Pick<
  StepHandlers,
  'make-lifeboat' | 'prove-lifeboat' | 'switch-to-lifeboat' | 'leave-lifeboat' | keyof typeof lateLifeboatSteps
> = {
  ...lateLifeboatSteps,
  'make-lifeboat': make,
  'prove-lifeboat': prove,
  'switch-to-lifeboat': switchTo,
  'leave-lifeboat': leave,
};

async function wayOf(
  host: Host,
  { way }: StepOf<'make-lifeboat'>,
): Promise<{ readonly way: LifeboatWay; readonly disk: string }> {
  if (way.kind === 'gpt') return { way: { kind: 'gpt', partitionGuid: way.partitionGuid }, disk: way.diskGuid };
  if (way.kind === 'partition') return { way: { kind: 'partition' }, disk: way.diskId };
  const [bootImage, coreImage] = await Promise.all([host.readFile(way.bootImage), host.readFile(way.coreImage)]);
  return { way: { kind: 'mbr', bootImage, coreImage }, disk: way.diskId };
}

/** Wipes all that can be wiped. Throws the first failure then. */
async function wipeSecrets(
  context: StepContext,
  { pieces, secrets = [] }: LifeboatRecord,
  paths: readonly string[],
): Promise<void> {
  const own = pieces.filter(({ path }) => path !== undefined && paths.includes(path));
  const [zeros = Buffer.alloc(wipeChunkBytes)] = alignedBuffers(1, wipeChunkBytes);
  const failures: unknown[] = [];
  await withDisk(context, async (disk) => {
    for (const range of [...own, ...secrets]) await wipe(disk, range, zeros).catch((thrown) => failures.push(thrown));
    await disk.flush();
  });
  if (failures.length > 0) throw failures[0];
}

async function wipe(disk: ByteWriter, { startByte, sizeBytes }: DiskPlace, zeros: Uint8Array): Promise<void> {
  for (let done = 0; done < sizeBytes; done += zeros.length)
    await disk.write(zeros.subarray(0, Math.min(zeros.length, sizeBytes - done)), startByte + done);
}

async function withDisk({ host, targetPath }: StepContext, act: (disk: ByteWriter) => Promise<void>): Promise<void> {
  const disk = await host.openDisk(required(targetPath, 'target disk'));
  try {
    await act(disk);
  } finally {
    await disk.close();
  }
}
