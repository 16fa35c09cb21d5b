import { createNodeHost, type Run, reportThrown, runCommands } from '@migrate/core';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type CheckOptions, checkAppsFile } from './apps-command.ts';
import { type CommonOptions, type InjectOptions, programName } from './command-options.ts';
import { type ExtractOptions, extract } from './extract-command.ts';
import { inject } from './inject-command.ts';
import { type VerifyOptions, verify } from './verify-command.ts';
import { toolVersion } from './version.ts';

/** Runs the command line and returns the exit code. */
export function runCommandLine(argv: readonly string[]): Promise<number> {
  return runCommands(
    (run) => buildProgram(run).parseAsync([...argv], { from: 'user' }),
    (thrown) => reportThrown(programName, thrown, process.stderr),
  );
}

function buildProgram(run: Run): Command {
  const program = withAppOptions(
    new Command(programName)
      .description('Puts container images and apps.json into a balenaOS that has not started yet.')
      .version(toolVersion)
      .exitOverride()
      .enablePositionalOptions()
      .option(
        '--from <source>',
        'bundle, data root (/var/lib/docker), resin-data, root of a system, a tar of these, or an image file',
      )
      .option('--only <name...>', 'these images; left out: all that have a name')
      .option('--resin-data <directory>', 'where resin-data is mounted')
      .option('--resin-boot <directory>', 'where resin-boot is mounted')
      .option('--image <file>', 'a raw balenaOS image instead of mounted partitions; needs no root')
      .option('--grow', 'make resin-data in the image larger where it is too small')
      .addOption(
        new Option('--on-conflict <choice>', 'for names that resin-data uses for other images')
          .choices(['refuse', 'keep', 'move'])
          .default('refuse'),
      )
      .option('--network <file...>', 'NetworkManager connection files for resin-boot')
      .option('--static-ip <address>', 'fixed wired address: ADDRESS/PREFIX[,GATEWAY[,NAME SERVER...]]')
      .option('-y, --yes', 'do not ask before changing anything')
      .option('--json', 'print the result as JSON, events as JSON lines')
      .option('--apps <file>', 'apps.json, checked')
      .option('--compose <file>', 'make apps.json out of a compose file')
      .option('--target-state <file>', 'make apps.json out of a downloaded target state'),
  )
    .addHelpText('after', examples)
    .action(run((options: InjectOptions) => inject(createNodeHost(), options)));
  program
    .command('extract')
    .description('Take images out of a data root into a bundle, a directory that can be sent and stored.')
    .option('--from <source>', 'data root, resin-data, root of a system, a tar of these, or an image file')
    .option('--image <name...>', 'these images: by name, digest, id or beginning of an id')
    .option('--all', 'all images that have a name')
    .option('--out <directory>', 'the bundle to make')
    .option('--json', 'print the result as JSON, events as JSON lines')
    .action(run((options: ExtractOptions) => extract(createNodeHost(), merge(program, options))));
  program
    .command('verify')
    .description('Prove every image of a mounted resin-data: chains, sizes, and all layers to the last byte.')
    .option('--resin-data <directory>', 'where resin-data is mounted')
    .option('--json', 'print the result as JSON')
    .action(run((options: VerifyOptions) => verify(createNodeHost(), merge(program, options))));
  const apps = program.command('apps').description('Work with apps.json, on any machine.');
  apps
    .command('check')
    .description('Check apps.json as the supervisor will read it.')
    .argument('<file>', 'apps.json')
    .option('--app-uuid <uuid>', 'uuid of the app, for the older form')
    .option('--from <source>', 'check that this bundle or data root has all images')
    .option('--resin-data <directory>', 'check that this mounted resin-data has all images')
    .option('--json', 'print the findings as JSON')
    .action(
      run((file: string, options: CheckOptions) => checkAppsFile(createNodeHost(), file, merge(program, options))),
    );
  return program;
}

function withAppOptions(command: Command): Command {
  return command
    .option('--app-name <name>', 'name of the app; default: that of the compose file')
    .option('--app-uuid <uuid>', 'uuid of the app; default: made of its name')
    .option('--app-id <number>', 'id of the app', parseId)
    .option('--release-uuid <uuid>', 'commit of the release; default: made of its contents')
    .option('--release-id <number>', 'id of the release', parseId)
    .option('--device-uuid <uuid>', 'the device that is meant in a target state')
    .option('--pin', 'keep the device on this release whatever its fleet runs')
    .option('--stopped', 'services of a compose file wait until they are started');
}

const examples = `
Examples:
  inject --from /var/lib/docker --resin-data /mnt/data --compose docker-compose.yml
  inject --from /var/lib/docker --resin-data /mnt/data --target-state state.json --yes
  inject --from /var/lib/docker --resin-data /mnt/data --resin-boot /mnt/boot --static-ip 10.0.0.5/24,10.0.0.1
  inject --from app.bundle --image balena.img --grow --apps apps.json --yes
  inject extract --from /var/lib/docker --image app:1 --out app.bundle
  inject verify --resin-data /mnt/data
  inject apps check apps.json --resin-data /mnt/data

A name that resin-data uses for another image is refused, or with --on-conflict kept there, or moved to the new image.

Without --app-uuid and the other ids, those of a compose file are made of names and contents: right for a device that
stays alone. A device that joins a fleet needs the ids of that fleet, or --target-state.

Exit codes: 0 done, 2 usage or configuration, 3 refused and nothing changed,
            4 failed and undone, 5 failed and not undone, 70 bug`;

/** `--json` before the subcommand's name belongs to the program; it counts for the subcommand too. */
function merge<T extends CommonOptions>(program: Command, options: T): T {
  const { json } = program.opts<CommonOptions>();
  return json === undefined ? options : { ...options, json };
}

function parseId(value: string): number {
  const id = Number(value);
  if (!/^\d+$/.test(value) || id < 1 || id > 2 ** 31 - 1)
    throw new InvalidArgumentError('It must be a whole number above 0.');
  return id;
}
