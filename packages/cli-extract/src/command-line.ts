import { createNodeHost, type HashAlgorithm, type Run, reportThrown, runCommands } from '@migrate/core';
import type { InflateEngine } from '@migrate/image-tools';
import { Command, InvalidArgumentError } from 'commander';
import type { CommandContext } from './command-context.ts';
import type { CommonOptions, ExtractCommandOptions, WritingOptions } from './command-options.ts';
import { type ConfigureCommandOptions, configure } from './configure-command.ts';
import { type ConvertCommandOptions, convert } from './convert-command.ts';
import { exitCodeOfFailure } from './exit-code.ts';
import { extract } from './extract-command.ts';
import { info } from './info-command.ts';
import { map } from './map-command.ts';
import { toolVersion } from './version.ts';

/** Runs the command line and returns the exit code. */
export function runCommandLine(argv: readonly string[], signal: AbortSignal): Promise<number> {
  return runCommands(
    async (run) => {
      try {
        await buildProgram(run, { host: createNodeHost(), signal }).parseAsync([...argv], { from: 'user' });
      } catch (thrown) {
        // Thrown by a command, of which commander does not know.
        if (thrown instanceof InvalidArgumentError) process.stderr.write(`balena-extract: ${thrown.message}\n`);
        throw thrown;
      }
    },
    (thrown) => {
      reportThrown('balena-extract', thrown, process.stderr);
      return exitCodeOfFailure(thrown);
    },
  );
}

function buildProgram(run: Run, context: CommandContext): Command {
  const program = new Command('balena-extract')
    .description('Takes images of balenaOS apart. Needs no root. IMAGE is raw, or gzip, zip, xz, zstd or bzip2.')
    .version(toolVersion)
    .exitOverride()
    .enablePositionalOptions()
    .argument('<image>', 'image of balenaOS as it was downloaded')
    .option('-d, --device-type <type>', "device type to extract for (default: the image's own)")
    .option('-o, --output-directory <directory>', 'where the archives go', '.')
    .option('--hash <algorithm>', 'sha256, sha1 or md5 (for the old migrator)', parseHash, 'sha256')
    .option(
      '--img <file>',
      'write the image to be flashed instead: .img, .img.gz or .img.zst; of a flasher, the inner one',
    )
    .option('--balena-cfg <file>', 'write the config.json of the boot partition')
    .option('--grub <file>', "write the installed system's GRUB configuration (grub.cfg_internal of a flasher)")
    .option('--grub-boot <file>', 'write grub/boot.img of the boot partition')
    .option('--grub-core <file>', 'write grub/core.img of the boot partition')
    .option('--inflate <engine>', 'node, or zlib-sync where that package is installed', parseEngine, 'node')
    .option('-y, --yes', 'overwrite files without a question')
    .option('--json', 'print the result as JSON, events as JSON lines on stderr')
    .addHelpText('after', examples)
    .action(run((image: string, options: ExtractCommandOptions) => extract(context, image, options)));
  program
    .command('info')
    .description('Say what an image is, what is in it, and what to do with it.')
    .argument('<image>', 'any image of a disk')
    .option('--json', 'print it as JSON')
    .action(
      run((image: string, options: CommonOptions) =>
        info(context, image, { ...program.opts<CommonOptions>(), ...options }),
      ),
    );
  program
    .command('convert')
    .description('Write an image packed in another way, by the name of the file: .img, .img.gz or .img.zst.')
    .argument('<in>', 'any image of a disk')
    .argument('<out>', 'file to write')
    .option('--level <number>', '1 to 9 for gzip, 1 to 19 for zstd: more is smaller and slower', parseLevel)
    .option('--hash <algorithm>', 'what the file is hashed by', parseHash, 'sha256')
    .option('--inflate <engine>', 'node, or zlib-sync where that package is installed', parseEngine, 'node')
    .option('-y, --yes', 'overwrite without a question')
    .option('--json', 'print the result as JSON, events as JSON lines on stderr')
    .action(
      run((from: string, to: string, options: ConvertCommandOptions) =>
        convert(context, { from, to }, { ...program.opts<WritingOptions>(), ...options }),
      ),
    );
  program
    .command('map')
    .description('Prove an image and write the map of its used blocks beside it, so that a slow machine need not look.')
    .argument('<image>', 'raw image or .img.gz of balenaOS')
    .option('-y, --yes', 'overwrite without a question')
    .option('--json', 'print the result as JSON, events as JSON lines on stderr')
    .action(
      run((image: string, options: WritingOptions) =>
        map(context, image, { ...program.opts<WritingOptions>(), ...options }),
      ),
    );
  program
    .command('configure')
    .description('Put config.json and connections into the boot partition of a raw image, in place.')
    .argument('<image>', 'raw image of balenaOS')
    .requiredOption('--config <file>', 'config.json of the fleet')
    .option('--network <file...>', 'NetworkManager connection files')
    .option('--json', 'print the result as JSON')
    .action(
      run((image: string, options: ConfigureCommandOptions) =>
        configure(context, image, { ...program.opts<CommonOptions>(), ...options }),
      ),
    );
  return program;
}

const examples = `
Without --img and its like, the five partitions are written as archives (resin-boot.tgz and so on), and what belongs into
balena-migrate.yml is printed on stdout, all else on stderr.

Examples:
  balena-extract info balena.img.zip                    what is it, and what to do with it
  balena-extract balena.img.gz -d beaglebone-green      archives of its partitions, for balena.image.fs
  balena-extract balena.img.zip >>balena-migrate.yml    the same, the snippet kept
  balena-extract flasher.img.zip --img balena.img.gz    the image inside of a flasher image, for balena.image.dd
  balena-extract flasher.img.zip --balena-cfg config.json
  balena-extract convert balena.img.zip balena.img.gz   packed as the migrator needs it
  balena-extract map balena.img.gz                      which blocks are in use, beside the image
  balena-extract configure balena.img --config config.json --network office.nmconnection

Exit codes: 0 done, 2 usage, 3 refused and nothing changed, 4 failed and nothing half-written left, 70 bug`;

function parseEngine(value: string): InflateEngine {
  if (value === 'node' || value === 'zlib-sync') return value;
  throw new InvalidArgumentError('It must be node or zlib-sync.');
}

function parseHash(value: string): HashAlgorithm {
  if (value === 'sha256' || value === 'sha1' || value === 'md5') return value;
  throw new InvalidArgumentError('It must be sha256, sha1 or md5.');
}

function parseLevel(value: string): number {
  const level = Number(value);
  if (Number.isInteger(level) && level >= 1 && level <= 19) return level;
  throw new InvalidArgumentError('It must be a whole number from 1 to 19.');
}
