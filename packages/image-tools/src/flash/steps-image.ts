// Stage-2 steps that put the image onto the disk.
import {
  type ByteReader,
  type ByteWriter,
  type ImageFacts,
  isArchived,
  MigrateError,
  openPayload,
  payloadPath,
  type ReadingHandler,
  type RedoableHandler,
  required,
  type StepContext,
  type StepHandlers,
  type StepOf,
} from '@migrate/core';
import { wipeOldTables, writeCommitSectors } from './commit-sectors.ts';
import { flashImage, readCommitBytes } from './flash-image.ts';
import { proveImage } from './prove-image.ts';
import { replaceLoaders } from './replace-loaders.ts';
import { verifyAndRepair } from './verify-image.ts';

const prove: ReadingHandler<StepOf<'prove-image'>> = {
  describe: () => 'inflate the whole image and compare it with what stage 1 proved',
  apply: async (step, context) => {
    const { host, plan, emit } = context;
    const image = imageOf(context);
    const usedBlocks = image.usedBlocks === undefined ? {} : { usedBlocks: image.usedBlocks };
    const found = await proveImage({
      host,
      path: payloadPath(context, step.payload),
      open: () => openPayload(context, step.payload, step.pathInFileSystem),
      emit,
      ...usedBlocks,
    });
    const isSame =
      found.fileSha256 === image.fileSha256 &&
      found.sizeBytes === image.sizeBytes &&
      found.deviceType === plan.deviceType &&
      found.chunkSha256.length === image.chunkSha256.length &&
      found.chunkSha256.every((digest, index) => digest === image.chunkSha256[index]);
    if (!isSame) throw new MigrateError('verify-mismatch', 'the image is not the one that stage 1 proved');
  },
  undo: 'nothing-to-undo',
};

const flash: RedoableHandler<StepOf<'flash-image'>> = {
  describe: ({ writtenBytes, sizeBytes, keepsTables, loaders }) => {
    const wipe = keepsTables === true ? '' : 'wipe the old partition table and ';
    const left = loaders === undefined ? 'all but its first sectors' : 'all but what lies before its partitions';
    return writtenBytes === sizeBytes
      ? `${wipe}write the image, ${mib(sizeBytes)} MiB, ${left}`
      : `${wipe}write ${mib(writtenBytes)} of the ${mib(sizeBytes)} MiB of the image, which are its used blocks, ${left}`;
  },
  apply: (step, context) =>
    withDisk(step, context, async ({ source, target }) => {
      const { host, emit } = context;
      const image = imageOf(context);
      if (step.keepsTables !== true) await wipeOldTables(target, image);
      const withheld = step.loaders === undefined ? {} : { withheldBytes: step.loaders.endByte };
      await flashImage({ source, host, image, target, emit, ...withheld });
    }),
  redo: true,
};

const verify: RedoableHandler<StepOf<'verify-image'>> = {
  describe: () => 'read the disk back and compare every byte that was written; write again what differs',
  apply: (step, context) =>
    withDisk(step, context, async ({ source, target }) => {
      const { host, emit } = context;
      const image = imageOf(context);
      const commitBytes = await readCommitBytes(source, image, host, step.loaders?.endByte);
      await verifyAndRepair({
        source,
        host,
        target,
        image,
        commitBytes,
        emit,
        dropCaches: () => host.dropCaches(),
      });
    }),
  redo: true,
};

const commit: RedoableHandler<StepOf<'commit-image'>> = {
  describe: ({ loaders }) =>
    loaders === undefined
      ? 'write the first sectors of the image: from here the new system boots'
      : `take the old boot loaders out of the way, and write what the image has before byte ${loaders.endByte}: from here the new system boots`,
  apply: (step, context) =>
    withDisk(step, context, async ({ source, target }) => {
      const { host } = context;
      const { loaders } = step;
      const bytes = await readCommitBytes(source, imageOf(context), host, loaders?.endByte);
      const dropCaches = (): Promise<void> => host.dropCaches();
      if (loaders === undefined) await writeCommitSectors(target, bytes, dropCaches);
      else await replaceLoaders(target, bytes, loaders, dropCaches);
    }),
  redo: true,
};

export const imageSteps: Pick<StepHandlers, 'prove-image' | 'flash-image' | 'verify-image' | 'commit-image'> = {
  'prove-image': prove,
  'flash-image': flash,
  'verify-image': verify,
  'commit-image': commit,
};

function imageOf({ plan }: StepContext): ImageFacts {
  if (isArchived(plan.image)) throw new Error('this step is for plans with a whole image');
  return plan.image;
}

async function withDisk(
  step: { readonly payload: string },
  context: StepContext,
  action: (files: { source: ByteReader; target: ByteWriter }) => Promise<void>,
): Promise<void> {
  const source = await openPayload(context, step.payload);
  try {
    const target = await context.host.openDisk(required(context.targetPath, 'target disk'));
    try {
      await action({ source, target });
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

function mib(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024);
}
