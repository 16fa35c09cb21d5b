import { exitCodes, reportThrown } from '@migrate/core';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { createBundleHost } from './bundle.ts';
import type { CommonOptions, MigrateOptions } from './command-options.ts';
import { explain, printFacts, validate } from './desk-commands.ts';
import { configName } from './find-config.ts';
import { migrate } from './migrate-command.ts';
import { status, undo } from './undo-command.ts';
import { toolVersion } from './version.ts';

/** Runs the command line and returns the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.done;
  const run =
    <A extends unknown[]>(action: (...args: A) => Promise<number>) =>
    async (...args: A): Promise<void> => {
      exitCode = await action(...args);
    };
  const program = buildProgram(run);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    return reportThrown('migrate', thrown, process.stderr);
  }
}

type Run = <A extends unknown[]>(action: (...args: A) => Promise<number>) => (...args: A) => Promise<void>;

function buildProgram(run: Run): Command {
  const program = new Command('migrate')
    .description('Moves this machine to balenaOS. Without --mode immediate it only says what it would do.')
    .version(toolVersion)
    .exitOverride()
    .enablePositionalOptions()
    .option('-m, --mode <mode>', 'pretend or immediate; overrides migrate.mode', parseMode)
    .option('-c, --config <file>', `configuration (default: ./${configName}, then in the work directory)`)
    .option('-w, --work-dir <directory>', 'where the files lie; overrides migrate.work_dir')
    .option('-y, --yes', 'do not ask before changing anything')
    .option('--json', 'print the result as JSON, events as JSON lines')
    .option('--report <file>', 'write what became of the run to a file, as JSON')
    .addHelpText('after', examples)
    .action(run((options: MigrateOptions) => migrate(createBundleHost(), options)));
  program
    .command('validate')
    .description('Check a configuration file, on any machine.')
    .argument('<file>', 'balena-migrate.yml')
    .option('--json', 'print the findings as JSON')
    .action(run((file: string, options: CommonOptions) => validate(createBundleHost(), file, merge(program, options))));
  program
    .command('facts')
    .description('Print what is known of this machine as JSON, for "migrate explain".')
    .action(run(() => printFacts(createBundleHost())));
  program
    .command('explain')
    .description('Print the plan for a machine whose facts were captured with "migrate facts".')
    .requiredOption('-f, --facts <file>', 'output of migrate facts')
    .option('-c, --config <file>', 'configuration')
    .option('-w, --work-dir <directory>', 'where the files lie')
    .option('--json', 'print plan and findings as JSON')
    .action(run((options: CommonOptions & { facts: string }) => explain(createBundleHost(), merge(program, options))));
  program
    .command('undo')
    .description('Take back exactly what stage 1 has prepared.')
    .option('--json', 'print events as JSON lines')
    .option('--report <file>', 'write what became of it to a file, as JSON')
    .option('-c, --config <file>', 'configuration, for its log server')
    .action(run((options: CommonOptions) => undo(createBundleHost(), merge(program, options))));
  program
    .command('status')
    .description('Say whether this machine is prepared, half-prepared, or came back from a failed migration.')
    .option('--json', 'print it as JSON')
    .action(run((options: CommonOptions) => status(createBundleHost(), merge(program, options))));
  return program;
}

const examples = `
Examples:
  migrate                              say what would be done (mode pretend)
  migrate --mode immediate --yes       migrate now, without a question
  migrate undo                         take back what stage 1 prepared
  migrate validate balena-migrate.yml  check a configuration on any machine
  migrate facts > machine.json         capture a machine, to plan for it on a desk:
  migrate explain -f machine.json -c balena-migrate.yml

Exit codes: 0 done, 2 usage or configuration, 3 refused and nothing changed,
            4 failed and undone, 5 failed and not undone, 70 bug`;

/** Options given before the subcommand's name belong to the program; they count for the subcommand too. */
function merge<T extends CommonOptions>(program: Command, options: T): T {
  return { ...program.opts<CommonOptions>(), ...options };
}

function parseMode(value: string): string {
  if (value !== 'pretend' && value !== 'immediate') throw new InvalidArgumentError('It must be pretend or immediate.');
  return value;
}
