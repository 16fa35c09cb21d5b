import {
  MigrateError,
  mountOldBoot,
  parseGrubEnvironment,
  type ReadingHandler,
  type StepHandlers,
  type StepOf,
  savedFile,
  saveFile,
  setGrubVariable,
  type UndoableHandler,
} from '@migrate/core';

const setVariable: UndoableHandler<StepOf<'set-grub-variable'>> = {
  describe: (step) => `tell GRUB to boot "${step.value}" once (${step.name} in ${step.path})`,
  prepare: (step, { host }) => saveFile(host, step.path),
  apply: async (step, { host }) => {
    const block = await readBlock(host, step.path);
    await host.overwriteInPlace(step.path, latin1(setGrubVariable(block, step.name, step)));
    const found = parseGrubEnvironment(await readBlock(host, step.path), step.path).get(step.name);
    if (found !== step.value) throw new MigrateError('verify-mismatch', `${step.path} did not keep ${step.name}`);
  },
  undo: async (step, saved, { host }) => {
    const before = savedFile(step.path, saved);
    const block = await readBlock(host, step.path);
    if (sameButFor(step.name, { block, other: Buffer.from(before.contents).toString('latin1'), path: step.path })) {
      await host.overwriteInPlace(step.path, before.contents);
      await host.setAttributes(step.path, before.attributes);
    } else {
      // Someone changed other variables meanwhile: only ours is taken back.
      const cleared = setGrubVariable(block, step.name, { value: undefined, path: step.path });
      await host.overwriteInPlace(step.path, latin1(cleared));
    }
  },
};

/** Whether two blocks differ at most in one variable: GRUB itself leaves it behind, emptied. */
function sameButFor(name: string, blocks: { block: string; other: string; path: string }): boolean {
  const { block, other, path } = blocks;
  const without = (text: string): string => setGrubVariable(text, name, { value: undefined, path });
  return without(block) === without(other);
}

const confirmCleared: ReadingHandler<StepOf<'confirm-grub-variable-cleared'>> = {
  describe: (step) =>
    `confirm that GRUB has cleared ${step.name}, so that the old system boots if anything fails from here`,
  apply: async (step, context) => {
    const { host } = context;
    const root = await mountedRoot(step, context);
    try {
      const path = `${root.path}${step.pathInFileSystem}`;
      const value = parseGrubEnvironment(await readBlock(host, path), path).get(step.name);
      if (value !== undefined && value !== '') {
        throw new MigrateError(
          'unsupported',
          `GRUB did not clear ${step.name} ("${value}"), so a failure would start stage 2 again and again`,
        );
      }
    } finally {
      await root.release();
    }
  },
  undo: 'nothing-to-undo',
};

export const grubSteps: Pick<StepHandlers, 'set-grub-variable' | 'confirm-grub-variable-cleared'> = {
  'set-grub-variable': setVariable,
  'confirm-grub-variable-cleared': confirmCleared,
};

type Context = Parameters<typeof confirmCleared.apply>[1];

/** The environment block may lie on a /boot partition of its own, which is then mounted read-only for a moment. */
async function mountedRoot(
  { fileSystemUuid: uuid, fileSystemType: fileSystem }: StepOf<'confirm-grub-variable-cleared'>,
  context: Context,
): Promise<{ path: string; release: () => Promise<void> }> {
  const { host, plan, oldRoot } = context;
  if (oldRoot === undefined) throw new Error('this step runs in stage 2 only');
  if (uuid === plan.payloadFileSystem.uuid) return { path: oldRoot, release: async () => {} };
  const path = await mountOldBoot(context, { uuid, fileSystem, options: ['ro'] });
  return { path, release: () => host.unmount(path) };
}

async function readBlock(host: Context['host'], path: string): Promise<string> {
  return Buffer.from(await host.readFile(path)).toString('latin1');
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
