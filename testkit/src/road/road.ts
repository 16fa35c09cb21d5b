// The road that every end-to-end test takes: a brownfield machine with the bundle, an image and a configuration.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { type BalenaImage, balenaImage, configJson } from '../balena-image.ts';
import type { BundleArchitectureName } from '../bundle/architectures.ts';
import { bundleName, makeBundle } from '../bundle/bundle.ts';
import { type MoreHardware, type Shape, startBrownfield } from '../debian-disk.ts';
import type { Machine, RunResult } from '../machine.ts';
import { networkMac } from '../pc.ts';

export const connectionName = 'ethernet-static';
export const connection = `[connection]
id=ethernet-static
type=ethernet

[ipv4]
method=manual
address1=192.0.2.10/24,192.0.2.1
`;

/** What the old system has of networks, in its own programs' files: a Wi-Fi network and a wired interface with a fixed address. */
export const oldNetworks: Readonly<Record<string, string>> = {
  '/etc/wpa_supplicant/wpa_supplicant.conf':
    'ctrl_interface=/run/wpa_supplicant\nnetwork={\n  ssid="field office"\n  psk="canary-wifi-password"\n}\n',
  '/etc/systemd/network/10-wired.network': `[Match]\nMACAddress=${networkMac}\n[Network]\nAddress=192.0.2.77/24\nGateway=192.0.2.1\nDNS=192.0.2.53\n`,
};

export interface OldFile {
  readonly path: string;
  readonly contents: string;
}

/** What the old system has of data. */
export const oldData: readonly OldFile[] = [
  { path: '/srv/app/settings.json', contents: '{"token": "canary-backup-content"}\n' },
  { path: '/srv/app/state/large.db', contents: 'a line of the database\n'.repeat(20_000) },
  { path: '/srv/app/state/large.log', contents: 'not wanted' },
];

/** The lines of `migrate` that take the networks along, and reboot. */
export const networkLines: readonly string[] = ['reboot: 1', 'all_wifis: true'];

/** The lines of `migrate` that take the data along. */
export const backupLines: readonly string[] = [
  'backup:',
  '  - volume: app-data',
  '    items:',
  '      - {source: /srv/app, target: old, filter: "(json|db|current|second)$"}',
  'identity: {machine_id: app-data}',
];

export interface RoadOptions {
  readonly shape: Shape;
  readonly memoryMib?: number;
  readonly deviceType?: string;
  /** Incompressible MiB in the image. */
  readonly payloadMib?: number;
  /** Whether the machine reaches this host at 10.0.2.2, once it has an address. */
  readonly reachesHost?: boolean;
  /** Given the directory for its files. */
  readonly more?: (directory: string) => Promise<MoreHardware>;
  /** Puts the files for the work directory into a directory; fillWorkDirectory where it is left out. */
  readonly fill?: (share: string, parts: WorkParts) => Promise<void>;
  /** Puts more files for the work directory beside the image. */
  readonly addFiles?: (share: string, image: BalenaImage) => Promise<void>;
  readonly onPhase?: (text: string) => void;
}

export interface Road {
  readonly machine: Machine;
  readonly image: BalenaImage;
  /** The machine's disk; look at it when the machine is off. */
  readonly disk: string;
  /** Directory of the machine with image, config.json, connection and configuration. */
  readonly workDirectory: string;
  /** Host directory that the machine sees at /mnt/share. */
  readonly share: string;
  /** Name of the bundle's directory in the work directory. */
  readonly bundle: string;
  /** Terminal of the machine that is its serial console. */
  readonly console: string;
  /** Whether the machine has the wired interface that `oldNetworks` names. */
  readonly isWired: boolean;
  /** Runs the bundle's migrate in the machine's work directory. */
  migrate(...args: readonly string[]): Promise<RunResult>;
  close(): Promise<void>;
}

export const workDirectory = '/root/migration';

/** What stage 2 or its kernel prints when it cannot go on. */
export const failure = /migrate: FAILED|Kernel panic|end Kernel panic/;

/** A configuration for the road; `extra` is added to its migrate section, `debug` to debug. */
export function configYaml({
  extra = [],
  noFlash = false,
  writesUnused = false,
  image = ['    dd:', '      path: balena.img.gz', `    write_unused: ${writesUnused}`].join('\n'),
}: {
  extra?: readonly string[];
  noFlash?: boolean;
  writesUnused?: boolean;
  /** What stands below balena.image, indented. */
  image?: string;
} = {}): string {
  return [
    'migrate:',
    '  mode: pretend',
    `  nwmgr_files: [${connectionName}]`,
    ...extra.map((line) => `  ${line}`),
    'balena:',
    '  image:',
    image,
    '  config:',
    '    path: config.json',
    // The machines of the road have no way out.
    '  api: { check: false }',
    '  check_vpn: false',
    'debug:',
    `  no_flash: ${noFlash}`,
    '',
  ].join('\n');
}

/** Brings everything together; the machine is up and has its files when this returns. */
export async function startRoad(options: RoadOptions): Promise<Road> {
  const { shape, memoryMib = 1024, deviceType = 'genericx86-64-ext', payloadMib = 8, onPhase = () => {} } = options;
  const directory = await mkdtemp(join(tmpdir(), 'migrate-road-'));
  const share = join(directory, 'share');
  await mkdir(share);
  onPhase('building the bundle and the balenaOS-shaped image');
  const architecture = 'x64';
  const image = await balenaImage({ table: shape === 'bios-mbr' ? 'mbr' : 'gpt', deviceType, payloadMib });
  await (options.fill ?? fillWorkDirectory)(share, { architecture, image, deviceType });
  await options.addFiles?.(share, image);
  onPhase('starting a Debian 12 machine (the first time it is installed and booted)');
  const more = await options.more?.(directory);
  const { machine, disk } = await startBrownfield({
    shape,
    memoryMib,
    directory,
    share,
    reachesHost: options.reachesHost === true,
    ...(more === undefined ? {} : { more }),
  });
  onPhase('copying the bundle and the image into it');
  await takeShare(machine);
  return roadOn({
    ...{ machine, image, disk, share, architecture, console: '/dev/ttyS0', isWired: true },
    close: async () => {
      await machine.kill();
      await rm(directory, { recursive: true, force: true });
    },
  });
}

/** Copies what the machine was given into its work directory. */
export async function takeShare(machine: Machine): Promise<void> {
  await machine.runShell(
    `mkdir ${workDirectory} && cp -r --preserve=mode /mnt/share/* ${workDirectory}/ && umount /mnt/share && sync`,
  );
}

/** What a work directory is filled with. */
export interface WorkParts {
  readonly architecture: BundleArchitectureName;
  readonly image: BalenaImage;
  readonly deviceType: string;
}

/** Fills a directory with the bundle, the image, config.json, a connection and a configuration. */
export async function fillWorkDirectory(
  directory: string,
  { architecture, image, deviceType }: WorkParts,
): Promise<void> {
  await makeBundle(directory, architecture);
  await execa('cp', ['--reflink=auto', image.path, join(directory, 'balena.img.gz')]);
  await fillConfiguration(directory, deviceType);
}

/** config.json, a connection and a configuration. */
export async function fillConfiguration(directory: string, deviceType: string): Promise<void> {
  await writeFile(join(directory, 'config.json'), configJson(deviceType), { mode: 0o600 });
  await writeFile(join(directory, connectionName), connection);
  await writeFile(join(directory, 'balena-migrate.yml'), configYaml());
}

/** Codes of the errors in what `migrate --json` printed when it refused. */
export function errorCodes(output: string): readonly string[] {
  const { findings } = JSON.parse(output.slice(output.lastIndexOf('\n{\n') + 1)) as {
    findings: { severity: string; code: string }[];
  };
  return findings.filter(({ severity }) => severity === 'error').map(({ code }) => code);
}

/** The road on a machine that has a filled work directory. */
export function roadOn({
  architecture,
  ...parts
}: Omit<Road, 'migrate' | 'bundle' | 'workDirectory'> & { architecture: BundleArchitectureName }): Road {
  const bundle = bundleName(architecture);
  const script = `cd ${workDirectory} && exec ./${bundle}/migrate "$@"`;
  return {
    ...parts,
    bundle,
    workDirectory,
    migrate: (...args) => parts.machine.run('/bin/sh', ['-c', script, 'migrate', ...args], { timeoutMs: 300_000 }),
  };
}

/** Starts a command in the work directory whose end is not seen, for the machine reboots under it; what it prints is on the console. */
export async function startUnseen(
  { machine, workDirectory: place, console }: Pick<Road, 'machine' | 'workDirectory' | 'console'>,
  command: string,
): Promise<void> {
  await machine.runShell(`cd ${place} && (setsid ${command} >${console} 2>&1 </dev/null &)`);
}

/** Reboots the machine in the way an operator would. */
export async function reboot(machine: Machine): Promise<void> {
  // The agent dies with the system before it can say how the command ended.
  await machine.run('/sbin/reboot', [], { timeoutMs: 5000 }).catch(() => undefined);
}

/** What the new system printed of itself. */
export interface NewSystem {
  readonly deviceType: string;
  readonly firmware: string;
  readonly isRootIntact: boolean;
  readonly configJson: string;
  readonly connections: Readonly<Record<string, string>>;
  readonly logMode: string;
  readonly log: string;
  readonly backupMode: string;
  /** What its tar unpacks: a line for each name. */
  readonly backup: readonly string[];
}

/** Waits for the new system to say that it is done, and parses what it found. */
export async function newSystem(machine: Machine): Promise<NewSystem> {
  await machine.waitFor(/NEWOS-DONE/, { unless: failure });
  const text = machine.log();
  const field = (pattern: RegExp): string[] => pattern.exec(text)?.slice(1) ?? [];
  const decode = (base64: string | undefined): string => Buffer.from(base64 ?? '', 'base64').toString();
  const [deviceType = '', firmware = ''] = field(/NEWOS-BOOTED (\S+) (\S+)/);
  const [logMode = '', log] = field(/NEWOS-LOG (\S+) (\S+)/);
  const [backupMode = '', backup] = field(/NEWOS-BACKUP (\S+) (\S+)/);
  const connections = [...text.matchAll(/NEWOS-CONNECTION (\S+) (\S*)/g)].map((match) => [match[1], decode(match[2])]);
  return {
    deviceType,
    firmware,
    isRootIntact: text.includes('NEWOS-ROOT-OK'),
    configJson: decode(field(/NEWOS-CONFIG (\S+)/)[0]),
    connections: Object.fromEntries(connections),
    logMode,
    log: decode(log),
    backupMode,
    backup: decode(backup).trimEnd().split('\n'),
  };
}
