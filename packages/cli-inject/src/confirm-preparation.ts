import { askToGoOn, exitCodes, refuses, renderFindings } from '@migrate/core';
import type { Preparation } from '@migrate/engine-preload';
import { type InjectOptions, programName, refuse } from './command-options.ts';
import { describeInjection } from './describe-injection.ts';

/** Shows what will be done and asks. The exit code where it is not to be done; undefined to go on. */
export async function confirmPreparation(
  { injection, inputFindings, targetFindings }: Preparation,
  { options, target }: { options: InjectOptions; target: string },
): Promise<number | undefined> {
  const findings = [...inputFindings, ...targetFindings];
  if (refuses(findings)) return refuse(findings, options, refuses(inputFindings) ? exitCodes.usage : exitCodes.refused);
  if (options.json !== true) {
    process.stdout.write(describeInjection(injection, target));
    process.stderr.write(renderFindings(findings));
  }
  if (options.yes === true || (await askToGoOn(programName, `This will be put into ${target}.`))) return undefined;
  process.stderr.write(`${programName}: not confirmed, nothing was changed\n`);
  return exitCodes.refused;
}
