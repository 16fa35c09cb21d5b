import { MigrateError, type StepContext, type StepHandlers, type StepOf, type UndoableHandler } from '@migrate/core';
import { resizePartitionScript } from '../powershell/change-scripts.ts';
import { runPowerShell } from '../powershell/run-powershell.ts';

type Resize = StepOf<'resize-windows-partition'>;

const resize: UndoableHandler<Resize> = {
  describe: ({ place, fromBytes, toBytes }) =>
    `shrink Windows' partition (${place.partition} of disk ${place.disk}) from ${mebibytes(fromBytes)} to ${mebibytes(toBytes)} MiB`,
  apply: (step, context) => resizeTo(step, step.toBytes, context),
  undo: (step, _saved, context) => resizeTo(step, step.fromBytes, context),
};

export const resizeSteps: Pick<StepHandlers, 'resize-windows-partition'> = { 'resize-windows-partition': resize };

/** Asked for the size that it has, Windows does nothing. */
async function resizeTo({ place }: Resize, sizeBytes: number, { host }: StepContext): Promise<void> {
  const printed = await runPowerShell(host, 'resize-partition', { ...place, sizeBytes }, resizePartitionScript);
  const found =
    typeof printed === 'object' && printed !== null && 'sizeBytes' in printed ? printed.sizeBytes : undefined;
  if (Number(found) !== sizeBytes)
    throw new MigrateError(
      'verify-mismatch',
      `Windows' partition has ${String(found)} bytes after it was resized to ${sizeBytes}`,
    );
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
