// Commands that only read: they run on any machine.
import {
  exitCodes,
  explainPlan,
  type Facts,
  type Host,
  MigrateError,
  parseConfig,
  publicPlan,
  redact,
  redactData,
  renderFindings,
  renderLines,
} from '@migrate/core';
import type { WindowsFacts } from '@migrate/windows-efi';
import { type CommonOptions, choiceOf, refuse } from './command-options.ts';
import { findConfig } from './find-config.ts';
import { linuxPlatform, linuxSurvey } from './linux-platform.ts';
import { platformOf, type Survey, type SurveyRequest } from './platform.ts';
import { prepare } from './prepare.ts';
import { stepHandlers } from './step-handlers.ts';
import { windowsSurvey } from './windows-platform.ts';

export async function validate(host: Host, file: string, options: CommonOptions): Promise<number> {
  const text = await host.readText(file);
  if (text === undefined) throw new MigrateError('invalid-input', `${file} does not exist`);
  const { config, findings } = parseConfig(text, file);
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ valid: config !== undefined, findings: redactData(findings) }, null, 2)}\n`,
    );
  else process.stdout.write(`${renderFindings(findings)}${file}: ${config === undefined ? 'not valid' : 'valid'}\n`);
  return config === undefined ? exitCodes.usage : exitCodes.done;
}

export async function printFacts(host: Host): Promise<number> {
  // They go to whoever plans for this machine: boot files and kernel arguments may hold passwords.
  process.stdout.write(`${JSON.stringify(redactData(await (await platformOf(host)).capture()), null, 2)}\n`);
  return exitCodes.done;
}

export async function explain(host: Host, options: CommonOptions & { facts: string }): Promise<number> {
  const captured = parseFacts(await host.readText(options.facts), options.facts);
  const { config, findings, workDirectory } = await findConfig(host, choiceOf(options));
  if (config === undefined) return refuse(findings, options, exitCodes.usage);
  const emit = options.json ? () => {} : renderLines(process.stderr);
  const preparation = await prepare(linuxPlatform(host), {
    config,
    workDirectory,
    emit,
    captured: (request) => capturedSurvey(host, captured, request),
  });
  const all = [...findings, ...preparation.findings];
  if (preparation.plan === undefined) return refuse(all, options, exitCodes.refused);
  if (options.json)
    process.stdout.write(
      `${JSON.stringify(redactData({ plan: publicPlan(preparation.plan), findings: all }), null, 2)}\n`,
    );
  else
    process.stdout.write(redact(explainPlan(preparation.plan, { facts: preparation.facts, handlers: stepHandlers })));
  if (!options.json) process.stderr.write(renderFindings(all));
  return exitCodes.done;
}

function capturedSurvey(host: Host, captured: Facts | WindowsFacts, request: SurveyRequest): Promise<Survey> {
  if ('platform' in captured) return windowsSurvey(host, captured, request);
  return Promise.resolve(linuxSurvey(captured, { ...request, readsLinux: false }));
}

function parseFacts(text: string | undefined, path: string): Facts | WindowsFacts {
  if (text === undefined) throw new MigrateError('invalid-input', `${path} does not exist`);
  try {
    const facts: unknown = JSON.parse(text);
    if (typeof facts === 'object' && facts !== null && 'version' in facts && facts.version === 1 && 'disks' in facts)
      return facts as Facts | WindowsFacts;
  } catch {
    // Falls through to the one error below.
  }
  throw new MigrateError('invalid-input', `${path} is not the output of this version's "migrate facts"`);
}
