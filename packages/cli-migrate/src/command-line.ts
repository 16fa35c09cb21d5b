import { exitCodes, type Run, reportThrown, runCommands } from '@migrate/core';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { addAgentCommands } from './agent-command-line.ts';
import { createBundleHost } from './bundle.ts';
import type { CommonOptions, MigrateOptions } from './command-options.ts';
import { completionScript, type Shell, shells } from './completion/completion-script.ts';
import { explain, printFacts, validate } from './desk-commands.ts';
import { type DownloadOptions, download } from './download-command.ts';
import { configName } from './find-config.ts';
import { type KitCommandOptions, prepareKit } from './kit-command.ts';
import { migrate } from './migrate-command.ts';
import { init, printSchema } from './sample-command.ts';
import { status, undo } from './undo-command.ts';
import { toolVersion } from './version.ts';

/** Runs the command line and returns the exit code. */
export function runCommandLine(argv: readonly string[]): Promise<number> {
  return runCommands(
    (run) => buildProgram(run).parseAsync([...argv], { from: 'user' }),
    (thrown) => reportThrown('migrate', thrown, process.stderr),
  );
}

/** All commands and options; `run` makes of a command what commander calls. */
export function buildProgram(run: Run): Command {
  const program = new Command('migrate')
    .description('Moves this machine to balenaOS. Without --mode immediate it only says what it would do.')
    .version(toolVersion)
    .exitOverride()
    .enablePositionalOptions()
    .addOption(new Option('-m, --mode <mode>', 'overrides migrate.mode').choices(['pretend', 'immediate', 'connected']))
    .option('-c, --config <file>', `configuration (default: ./${configName}, then in the work directory)`)
    .option('-w, --work-dir <directory>', 'where the files lie; overrides migrate.work_dir')
    .option('-y, --yes', 'do not ask before changing anything')
    .option('--no-reboot', 'prepare this machine and leave the reboot to you; overrides migrate.reboot')
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
    .command('download')
    .description('Fetch the image that balena.image.download asks for, on any machine.')
    .option('-c, --config <file>', 'configuration')
    .option('-w, --work-dir <directory>', 'where the image goes')
    .option('--config-json <file>', "the fleet's config.json, instead of a configuration")
    .option('--os-version <version>', 'exact, ^5.1, ~5.1 or latest')
    .option('--json', 'print the result as JSON, events as JSON lines on stderr')
    .action(run((options: DownloadOptions) => download(createBundleHost(), merge(program, options))));
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
  program
    .command('init')
    .description('Write a sample configuration in which every setting is explained.')
    .argument('[file]', 'where to', configName)
    .action(run((file: string) => init(createBundleHost(), file)));
  program
    .command('schema')
    .description('Print the JSON Schema of the configuration.')
    .action(run(async () => printSchema()));
  addPrepareCommand(program, run);
  program
    .command('completion')
    .description('Print a script that completes commands and options in a shell.')
    .addArgument(new Argument('<shell>').choices(shells))
    .action(
      run(async (shell: Shell) => {
        process.stdout.write(completionScript(program, shell));
        return exitCodes.done;
      }),
    );
  addAgentCommands(program, run);
  return program;
}

function addPrepareCommand(program: Command, run: Run): void {
  program
    .command('prepare')
    .description('On any machine: make a directory or archive from which a device is migrated by one command.')
    .requiredOption(
      '-i, --image <file>',
      'image of balenaOS in any packing; of a flasher image the one inside is taken',
    )
    .requiredOption('--config-json <file>', 'config.json of the fleet')
    .option('-d, --device-type <slug>', 'what both must be for (default: what config.json says)')
    .option('-n, --network <file...>', 'NetworkManager connection files to take along')
    .option('-o, --output <path>', 'directory, .tar or .tar.gz to make (default: ./migrate-DEVICETYPE)')
    .option('--settings <file>', 'more settings, in the form of balena-migrate.yml')
    .option('--set <key=value...>', 'one more setting, for instance migrate.all_wifis=true')
    .option('--bundle <path...>', 'program for the device, as directory or .tar.gz (default: found beside this one)')
    .addOption(
      new Option('--format <format>', 'how the image is packed for the device')
        .choices(['zstd', 'gzip', 'raw'])
        .default('zstd'),
    )
    .addOption(new Option('--level <number>', '1 to 9 for gzip, 1 to 19 for zstd').argParser(parseLevel))
    .option('-y, --yes', 'overwrite an older one without a question')
    .option('--json', 'print the result as JSON, events as JSON lines on stderr')
    .action(run((options: KitCommandOptions) => prepareKit(createBundleHost(), merge(program, options))));
}

const examples = `
Examples:
  migrate                              say what would be done (mode pretend)
  migrate --mode immediate --yes       migrate now, without a question
  migrate download                     fetch the image that balena.image.download asks for
  migrate undo                         take back what stage 1 prepared
  migrate validate balena-migrate.yml  check a configuration on any machine
  migrate facts > machine.json         capture a machine, to plan for it on a desk:
  migrate explain -f machine.json -c balena-migrate.yml
  migrate prepare -i balena.img.zip --config-json config.json -o kit.tar.gz
                                       all that a device needs, to be copied there

Exit codes: 0 done, 2 usage or configuration, 3 refused and nothing changed,
            4 failed and undone, 5 failed and not undone, 70 bug`;

/** Options given before the subcommand's name belong to the program; they count for the subcommand too. */
export function merge<T extends CommonOptions>(program: Command, options: T): T {
  return { ...program.opts<CommonOptions>(), ...options };
}

function parseLevel(value: string): number {
  const level = Number(value);
  if (Number.isInteger(level) && level >= 1 && level <= 19) return level;
  throw new InvalidArgumentError('It must be a whole number from 1 to 19.');
}
