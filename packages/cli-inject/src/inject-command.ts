import {
  askToGoOn,
  type Emit,
  exitCodeOfThrown,
  exitCodes,
  type Host,
  MigrateError,
  refuses,
  renderFindings,
  renderJson,
  renderLines,
} from '@migrate/core';
import {
  carryOutInjection,
  type ImageSource,
  type Injection,
  openSource,
  prepareInjection,
} from '@migrate/engine-preload';
import { type InjectOptions, programName, refuse, requiredOption } from './command-options.ts';
import { describeInjection } from './describe-injection.ts';
import { readApps, readConnections } from './read-input.ts';

/** Ways to fail after which everything has been taken back. */
const undoneFailures: ReadonlySet<string> = new Set([
  'write-failed',
  'read-failed',
  'verify-mismatch',
  'command-failed',
  'timeout',
  'no-space',
]);

export async function inject(host: Host, options: InjectOptions): Promise<number> {
  const from = requiredOption(options.from, '--from');
  const resinData = requiredOption(options.resinData, '--resin-data');
  const apps = await readApps(host, options);
  const connections = await readConnections(host, options);
  const source = await openSource(host, from);
  try {
    const { injection, inputFindings, targetFindings } = await prepareInjection(host, {
      source,
      resinData,
      connections,
      ...(options.only === undefined ? {} : { names: options.only }),
      ...(options.resinBoot === undefined ? {} : { resinBoot: options.resinBoot }),
      ...(apps === undefined ? {} : { apps }),
    });
    const findings = [...inputFindings, ...targetFindings];
    if (refuses(findings))
      return refuse(findings, options, refuses(inputFindings) ? exitCodes.usage : exitCodes.refused);
    if (options.json !== true) {
      process.stdout.write(describeInjection(injection));
      process.stderr.write(renderFindings(findings));
    }
    if (options.yes !== true && !(await askToGoOn(programName, `This will be put into ${resinData}.`))) {
      process.stderr.write(`${programName}: not confirmed, nothing was changed\n`);
      return exitCodes.refused;
    }
    return await carryOut(host, injection, { options, source });
  } finally {
    await source.close();
  }
}

async function carryOut(
  host: Host,
  injection: Injection,
  { options }: { options: InjectOptions; source: ImageSource },
): Promise<number> {
  const emit: Emit = options.json === true ? renderJson(process.stdout) : renderLines(process.stderr);
  try {
    const { images, newLayers, reusedLayers, newBytes } = await carryOutInjection(host, injection, emit);
    if (options.json === true) {
      const result = { images, newLayers, reusedLayers, newBytes };
      process.stdout.write(`${JSON.stringify({ kind: 'finished', outcome: 'done', ...result })}\n`);
    } else {
      process.stdout.write(
        `Done: ${images.length} images, ${newLayers} new layers, ${reusedLayers} that were there.\n`,
      );
    }
    return exitCodes.done;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    const exitCode =
      thrown.code === 'undo-failed'
        ? exitCodes.notUndone
        : undoneFailures.has(thrown.code)
          ? exitCodes.undone
          : exitCodeOfThrown(thrown);
    const state = exitCode === exitCodes.undone ? '; everything was taken back' : '';
    process.stderr.write(`${programName}: ${thrown.message}${state}\n`);
    return exitCode;
  }
}
