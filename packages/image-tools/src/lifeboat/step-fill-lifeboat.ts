import { lifeboatPlaceName, type ReadingHandler, required, type StepHandlers, type StepOf } from '@migrate/core';
import { fillLifeboat } from './fill-lifeboat.ts';

const fill: ReadingHandler<StepOf<'fill-lifeboat'>> = {
  describe: ({ fromByte }) =>
    `make the lifeboat behind byte ${fromByte} of the disk, in the room that stage 1 reserved`,
  apply: async (step, context) => {
    const { host, plan, emit } = context;
    const diskPath = required(context.targetPath, 'target disk');
    const record = await fillLifeboat({ host, emit, planId: plan.id, step, diskPath });
    context.lifeboat = record;
    // For a stage 2 that is started again when the old file system is gone.
    const place = Buffer.from(`${JSON.stringify({ startByte: record.startByte })}\n`);
    await host.writeDurable(`${required(context.ramDirectory, 'RAM directory')}/${lifeboatPlaceName}`, place, {
      mode: 0o600,
    });
  },
  // The room is our own, and goes with the file system that stage 1 made.
  undo: 'nothing-to-undo',
};

export const fillSteps: Pick<StepHandlers, 'fill-lifeboat'> = { 'fill-lifeboat': fill };
