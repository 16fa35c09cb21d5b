// The road from Windows: migrate's own code on a fake Windows, and the machine that real firmware starts from its disk.
import { copyFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { platformOf, prepare, runStage1, stepHandlers, undoStage1 } from '@migrate/cli-migrate';
import {
  type Emit,
  explainPlan,
  type FormerRun,
  type Plan,
  parseConfig,
  pathBelow,
  renderFindings,
} from '@migrate/core';
import { execa } from 'execa';
import { type BalenaImage, balenaImage } from '../balena-image.ts';
import { makeWindowsBundle } from '../bundle/bundle.ts';
import { watchStage2 } from '../lifeboat/recorded-migration.ts';
import type { Pc } from '../pc.ts';
import { configYaml, fillConfiguration } from '../road/road.ts';
import { type FakeWindows, startFakeWindows } from './fake-windows.ts';
import { contentsOf, mountFat } from './fat-mirror.ts';
import { readVariables } from './ovmf-variables.ts';
import { turnSecureBootOn } from './secure-boot.ts';
import { espStart, type WindowsDisk, windowsDisk } from './windows-disk.ts';
import { startWindowsPc } from './windows-pc.ts';

export const deviceType = 'genericx86-64-ext';

/** What migrate came to and said. */
export interface Planned {
  /** Absent where it refuses. */
  readonly plan?: Plan;
  readonly said: string;
}

export interface WindowsRoad {
  readonly windows: FakeWindows;
  readonly disk: WindowsDisk;
  readonly image: BalenaImage;
  readonly bundle: string;
  readonly workDirectory: string;
  /** For whoever works with the road. */
  readonly directory: string;
  /** As migrate without a mode. */
  pretend(): Promise<Planned>;
  /** As migrate --mode immediate --yes; throws where it refuses or stage 1 fails. */
  migrate(): Promise<Planned>;
  /** As migrate status. */
  status(): Promise<FormerRun>;
  undo(): Promise<void>;
  /** Names of the files that stage 2 is to take from the payload's partition. */
  payloadFiles(): Promise<readonly string[]>;
  /** Changes a byte of a file that stage 2 is to take from the payload's partition. */
  changeInPayload(name: string): Promise<void>;
  /** Shuts Windows down and switches the machine on. */
  restart(): Promise<Pc>;
  /** The same, with a copy of the disk as it is then and with every write recorded. */
  restartRecorded(): Promise<RecordedStart>;
  close(): Promise<void>;
}

export interface RecordedStart {
  readonly machine: Pc;
  /** The disk at the start, raw. */
  readonly base: string;
  readonly log: string;
  /** The firmware's variables when stage 2 switched it to the lifeboat. */
  readonly variablesAtSwitch: string;
}

export interface WindowsRoadOptions {
  readonly hasSecureBoot?: boolean;
  /** Directory of a bundle that is there already. */
  readonly bundle?: string;
}

/** A machine that runs Windows, with the bundle, an image and a configuration. */
export async function startWindowsRoad(options: WindowsRoadOptions = {}): Promise<WindowsRoad> {
  const { hasSecureBoot = false } = options;
  const directory = await mkdtemp(join(tmpdir(), 'migrate-windows-'));
  const workDirectory = join(directory, 'migration');
  await mkdir(workDirectory);
  const image = await balenaImage({ table: 'gpt', deviceType, payloadMib: 8 });
  await execa('cp', ['--reflink=auto', image.path, join(workDirectory, 'balena.img.gz')]);
  await fillConfiguration(workDirectory, deviceType);
  const bundle = options.bundle ?? (await makeWindowsBundle(directory));
  const disk = await windowsDisk(directory);
  if (hasSecureBoot) await turnSecureBootOn(disk);
  const windows = await startFakeWindows(disk, { directory: join(directory, 'volumes'), own: [workDirectory, bundle] });
  const parts = { windows, bundle, workDirectory };
  return {
    ...parts,
    ...{ disk, image, directory },
    pretend: () => run(parts, { acts: false }),
    migrate: () => run(parts, { acts: true }),
    status: async () => (await platformOf(windows.host)).findFormerRun(),
    undo: async () => {
      if (!(await undoStage1(await platformOf(windows.host), () => {})))
        throw new Error('there is nothing to take back');
    },
    payloadFiles: async () => windows.host.list(await payloadFiles(windows)),
    changeInPayload: async (name) => {
      const path = pathBelow(await payloadFiles(windows), name);
      const contents = await windows.host.readFile(path);
      contents.set([(contents.at(-1) ?? 0) ^ 1], contents.length - 1);
      await windows.host.overwriteInPlace(path, contents);
    },
    restart: async () => {
      await windows.shutDown();
      return startWindowsPc({ ...disk, hasSecureBoot });
    },
    restartRecorded: async () => {
      await windows.shutDown();
      const [base, log, variablesAtSwitch] = ['base.raw', 'writes.log', 'switch.fd'].map((name) =>
        join(directory, name),
      ) as [string, string, string];
      await execa('cp', ['--sparse=always', disk.disk, base]);
      await writeFile(log, '');
      const machine = await startWindowsPc({ ...disk, writeLog: log });
      watchStage2(machine, (moment) => {
        if (moment === 'switch') copyFileSync(disk.variables, variablesAtSwitch);
      });
      return { machine, base, log, variablesAtSwitch };
    },
    close: () => rm(directory, { recursive: true, force: true }),
  };
}

async function payloadFiles({ host }: FakeWindows): Promise<string> {
  const directory = await (await platformOf(host)).resultDirectory();
  if (directory === undefined) throw new Error('there is no partition for stage 2');
  return pathBelow(directory, 'payload/files');
}

/** What the command does, with another bundle than that of this program. */
async function run(
  { windows, bundle, workDirectory }: Pick<WindowsRoad, 'windows' | 'bundle' | 'workDirectory'>,
  { acts }: { acts: boolean },
): Promise<Planned> {
  let said = '';
  const emit: Emit = (event) => {
    said += `${JSON.stringify(event)}\n`;
  };
  const path = join(workDirectory, 'balena-migrate.yml');
  const { config, findings: faults } = parseConfig(await readFile(path, 'utf8'), path);
  if (config === undefined) throw new Error(renderFindings(faults));
  const platform = await platformOf(windows.host);
  const { plan, findings, facts } = await prepare(platform, { config, workDirectory, emit, bundleDirectory: bundle });
  said += renderFindings(findings);
  if (plan === undefined) {
    if (acts) throw new Error(said);
    return { said };
  }
  said += explainPlan(plan, { facts, handlers: stepHandlers });
  if (!acts) return { plan, said };
  const outcome = await runStage1(platform.host, plan, { config, workDirectory, emit });
  if (outcome.kind !== 'done') throw new Error(`stage 1 ended ${outcome.kind}`, { cause: outcome.cause });
  if (plan.rebootSeconds !== undefined) await platform.host.reboot();
  return { plan, said };
}

/** The configuration of a road from Windows; `extra` is added to its migrate section. */
export async function configureWindows(
  road: WindowsRoad,
  extra: readonly string[],
  kernelOptions: string,
): Promise<void> {
  const lines = [`kernel_opts: "console=ttyS0 ${kernelOptions}"`, ...extra];
  await writeFile(join(road.workDirectory, 'balena-migrate.yml'), configYaml({ extra: lines }));
}

/** All that a migration that is taken back must leave as it was: files of the ESP, the partition table, the firmware's variables. */
export async function traces({ disk, variables }: WindowsDisk): Promise<Readonly<Record<string, unknown>>> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-esp-'));
  try {
    const esp = await mountFat(disk, espStart, join(directory, 'esp'));
    const remembered = readVariables(await readFile(variables)).filter(({ name }) => !ofFirmware.includes(name));
    return {
      esp: [...(await contentsOf(esp.directory))],
      table: (await execa('sfdisk', ['--dump', disk])).stdout,
      variables: remembered
        .map(
          ({ name, namespace, attributes, data }) =>
            `${namespace} ${name} ${attributes} ${Buffer.from(data).toString('hex')}`,
        )
        .sort(),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * What edk2 writes for itself: its count of starts (MdeModulePkg/Universal/MonotonicCounterRuntimeDxe), and the device paths of
 * partitions that it once found (UefiBootManagerLib, BmExpandPartitionDevicePath).
 */
const ofFirmware: readonly string[] = ['MTC', 'HDDP'];
