// migrate prepare.
import { dirname, resolve } from 'node:path';
import {
  type Architecture,
  askToGoOn,
  exitCodeOfUndone,
  exitCodes,
  type Host,
  interruptSignal,
  MigrateError,
  messageOf,
  parseConfigJson,
  renderFindings,
  renderJson,
  renderLines,
} from '@migrate/core';
import { type Kit, kitFormOf, launcherName, makeKit, replaceable } from '@migrate/image-tools';
import { bundleDirectory } from './bundle.ts';
import { refuse } from './command-options.ts';
import { devices } from './devices.ts';

export interface KitCommandOptions {
  readonly image: string;
  readonly configJson: string;
  readonly deviceType?: string;
  readonly network?: readonly string[];
  readonly output?: string;
  readonly settings?: string;
  readonly set?: readonly string[];
  readonly bundle?: readonly string[];
  readonly format: 'zstd' | 'gzip' | 'raw';
  readonly level?: number;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** Makes a kit and says what to do with it. */
export async function prepareKit(host: Host, options: KitCommandOptions): Promise<number> {
  const output = resolve(options.output ?? `migrate-${await deviceTypeOf(host, options)}`);
  const isArchive = kitFormOf(output) !== 'directory';
  const overwrites = (await replaceable(host, output, isArchive)) === 'overwrites';
  if (overwrites && options.yes !== true && !(await askToGoOn('migrate', `${output} will be overwritten.`))) {
    process.stderr.write('migrate: not confirmed, nothing was changed\n');
    return exitCodes.refused;
  }
  const settings = await settingsOf(host, options);
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  const paths = (some: readonly string[] | undefined): string[] => (some ?? []).map((path) => resolve(path));
  try {
    const { kit, findings } = await makeKit({
      host,
      emit,
      signal: interruptSignal(),
      output,
      imagePath: resolve(options.image),
      configJsonPath: resolve(options.configJson),
      connectionPaths: paths(options.network),
      deviceType: options.deviceType,
      settings,
      bundlePaths: paths(options.bundle),
      bundlePlaces: [dirname(bundleDirectory), process.cwd(), `${process.cwd()}/dist`],
      supported: supportedTypes(),
      imageFormat: options.format,
      level: options.level,
    });
    if (kit === undefined) return refuse(findings, options, exitCodes.refused);
    if (options.json) process.stdout.write(`${JSON.stringify({ ...reportOf(kit), findings }, null, 2)}\n`);
    else process.stdout.write(`${renderFindings(findings)}${nextSteps(kit, isArchive)}`);
    return exitCodes.done;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    process.stderr.write(`migrate: ${messageOf(thrown)}\n`);
    // Here invalid input is a file that is refused, not the command line.
    const code = exitCodeOfUndone(thrown);
    return code === exitCodes.usage ? exitCodes.refused : code;
  }
}

/** Device types that can be migrated. A board that has run 32-bit systems may run either. */
function supportedTypes(): ReadonlyMap<string, readonly Architecture[]> {
  const supported = new Map<string, readonly Architecture[]>();
  for (const { deviceTypes, architecture } of devices) {
    for (const type of deviceTypes) {
      const mayRun: readonly Architecture[] = architecture === 'arm' ? ['aarch64', 'arm'] : [architecture];
      supported.set(type, [...new Set([...(supported.get(type) ?? []), ...mayRun])]);
    }
  }
  return supported;
}

/** For the name of the output only; what is wrong with config.json is told with all else. */
async function deviceTypeOf(host: Host, { deviceType, configJson }: KitCommandOptions): Promise<string> {
  const text = await host.readText(resolve(configJson));
  return deviceType ?? parseConfigJson(text ?? '', configJson).configJson?.deviceType ?? 'kit';
}

async function settingsOf(host: Host, { settings, set = [] }: KitCommandOptions) {
  if (settings === undefined) return { assignments: set };
  const text = await host.readText(resolve(settings));
  if (text === undefined) throw new MigrateError('invalid-input', `${settings} does not exist`);
  return { file: { path: settings, text }, assignments: set };
}

function reportOf({ output, deviceType, architectures, image, files }: Kit) {
  const { name, innerPath, facts } = image;
  const { sizeBytes, fileBytes, fileSha256, version } = facts;
  return {
    output,
    deviceType,
    architectures,
    image: { name, innerPath, version, sizeBytes, fileBytes, fileSha256 },
    files,
  };
}

function nextSteps({ output, deviceType, architectures, files }: Kit, isArchive: boolean): string {
  const mebibytes = Math.ceil(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / 1024 / 1024);
  const copy = isArchive ? 'Copy it to the device, unpack it there' : 'Copy it to the device with all that is in it';
  return `${output}: for ${deviceType} devices that run ${architectures.join(' or ')}, ${mebibytes} MiB
${copy}, and run: sudo ./${launcherName}
It holds the keys of the fleet: keep it as safe as config.json.
`;
}
