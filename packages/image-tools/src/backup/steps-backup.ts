// The stage-1 step that makes the backup.
import { refuseExisting, type StepHandlers, type StepOf, type UndoableHandler, writeSeal } from '@migrate/core';
import { writeBackup } from './write-backup.ts';

const backup: UndoableHandler<StepOf<'write-backup'>> = {
  describe: ({ volumes, to }) => `back up ${volumes.map(({ name }) => name).join(', ')} to ${to}`,
  prepare: async ({ to, sealTo }, { host }) => {
    for (const path of [to, sealTo]) await refuseExisting(host, path);
    return null;
  },
  apply: async ({ volumes, to, sealTo, limitBytes }, { host, plan, emit }) => {
    const made = await writeBackup(host, { volumes, leaveOut: [plan.stateDirectory], emit }, { to, limitBytes });
    await writeSeal(host, sealTo, { planId: plan.id, ...made });
  },
  undo: async ({ to, sealTo }, _saved, { host }) => {
    for (const path of [sealTo, to]) await host.removeFile(path);
  },
};

export const backupSteps: Pick<StepHandlers, 'write-backup'> = { 'write-backup': backup };
