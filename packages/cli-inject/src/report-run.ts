import { type Emit, exitCodeOfUndone, exitCodes, MigrateError, renderJson, renderLines } from '@migrate/core';
import type { TakenName } from '@migrate/engine-preload';
import { type CommonOptions, countOf, programName } from './command-options.ts';

export interface RunResult {
  readonly images: number;
  readonly newLayers: number;
  readonly reusedLayers: number;
  /** Names that the target used for other images, and kept or lost as was asked. */
  readonly takenNames: readonly TakenName[];
  readonly grownBytes?: number;
}

/** Runs what changes things, shows its events and result, and returns the exit code. */
export async function reportRun({ json }: CommonOptions, run: (emit: Emit) => Promise<RunResult>): Promise<number> {
  try {
    const result = await run(json === true ? renderJson(process.stdout) : renderLines(process.stderr));
    if (json === true) process.stdout.write(`${JSON.stringify({ kind: 'finished', outcome: 'done', ...result })}\n`);
    else process.stdout.write(describeResult(result));
    return exitCodes.done;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    const exitCode = exitCodeOfUndone(thrown);
    const state = exitCode === exitCodes.undone ? '; everything is as it was' : '';
    process.stderr.write(`${programName}: ${thrown.message}${state}\n`);
    return exitCode;
  }
}

function describeResult({ images, newLayers, grownBytes = 0 }: RunResult): string {
  const grown = grownBytes === 0 ? '' : `; resin-data has grown by ${Math.round(grownBytes / 2 ** 20)} MiB`;
  return `Done: ${countOf(images, 'image')}, ${countOf(newLayers, 'new layer')}${grown}.\n`;
}
