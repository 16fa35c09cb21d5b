import { type ReadingHandler, required, type StepHandlers, type StepOf } from '@migrate/core';
import { fillLifeboat } from './fill-lifeboat.ts';

const fill: ReadingHandler<StepOf<'fill-lifeboat'>> = {
  describe: ({ fromByte }) =>
    `make the lifeboat behind byte ${fromByte} of the disk, in the room that stage 1 reserved`,
  apply: async (step, context) => {
    const { host, plan, emit } = context;
    const diskPath = required(context.targetPath, 'target disk');
    const keep = required(context.keepLifeboat, 'keeper of the lifeboat');
    await keep(await fillLifeboat({ host, emit, planId: plan.id, step, diskPath }));
  },
  // The room is our own, and goes with the file system that stage 1 made.
  undo: 'nothing-to-undo',
};

export const fillSteps: Pick<StepHandlers, 'fill-lifeboat'> = { 'fill-lifeboat': fill };
