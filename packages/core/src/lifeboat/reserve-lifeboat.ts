// The step of stage 1 for a lifeboat that stage 2 makes: on a system that does not tell where a file lies on the disk.
import { doing, MigrateError } from '../error.ts';
import type { StepHandlers, UndoableHandler } from '../execute/execute.ts';
import { refuseExisting } from '../execute/steps-files.ts';
import type { StepOf } from '../plan/plan.ts';
import { serializeLifeboatSeal } from './lifeboat-seal.ts';
import { sealedFiles } from './seal-lifeboat.ts';

const reserve: UndoableHandler<StepOf<'reserve-lifeboat'>> = {
  describe: ({ sizeBytes }) =>
    `reserve ${Math.round(sizeBytes / 1024 / 1024)} MiB behind the image's place for the lifeboat, which stage 2 makes`,
  prepare: async ({ path, sealPath }, { host }) => {
    for (const name of [path, sealPath]) await refuseExisting(host, name);
    return null;
  },
  apply: async ({ path, sizeBytes, sources, limitBytes, sealPath }, { host, plan }) => {
    const files = await sealedFiles(host, sources);
    const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    if (total > limitBytes)
      throw new MigrateError('no-space', `the files of the lifeboat have ${total} bytes, more than ${limitBytes}`);
    await doing(`reserving ${sizeBytes} bytes in ${path}`, 'write-failed', async () => {
      const file = await host.createFile(path, { mode: 0o600 });
      try {
        await file.setSize(sizeBytes);
        await file.commit();
      } finally {
        await file.close();
      }
    });
    await host.writeDurable(sealPath, serializeLifeboatSeal({ planId: plan.id, files }), { mode: 0o600 });
  },
  undo: async ({ path, sealPath }, _saved, { host }) => {
    for (const name of [path, sealPath]) await host.removeFile(name);
  },
};

export const reserveSteps: Pick<StepHandlers, 'reserve-lifeboat'> = { 'reserve-lifeboat': reserve };
