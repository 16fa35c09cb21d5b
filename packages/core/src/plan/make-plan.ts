import type { Assets, RuntimeAsset } from '../assets/assets.ts';
import { configJsonPath, connectionPath } from '../assets/boot-files.ts';
import { digestOf, filesOf, type ImageFacts, isArchived, type TargetImage, writtenBytes } from '../assets/image.ts';
import { backupPath } from '../backup/backup-request.ts';
import type { Config } from '../config/config.ts';
import type { WatchdogDuty } from '../initramfs/initramfs.ts';
import { checkRemoteLog } from '../log/check-remote-log.ts';
import { logDrive } from '../log/log-drive.ts';
import { type BootManager, bootManagerOf, type Device } from '../machine/device.ts';
import type { Facts, Place } from '../machine/facts.ts';
import { networkChoice } from '../network/choose-profiles.ts';
import { watchdogDuties } from '../watchdog/watchdog-duties.ts';
import { dataBudgets, memoryBudget, spaceBudgets } from './budget.ts';
import { checkArchives, writerDirectory } from './check-archives.ts';
import { checkAssets, checkFirmwareFit } from './check-image.ts';
import { checkMachine, error, type PlacedPath, placedPath, targetDisk } from './check-machine.ts';
import { checkNetwork } from './check-network.ts';
import { checkRuntime } from './check-runtime.ts';
import { checkSettings } from './check-settings.ts';
import { type Finding, refuses } from './finding.ts';
import {
  type CopiedFile,
  identifyPlan,
  type PayloadFile,
  type PlacedFile,
  type Plan,
  planVersion,
  type Step,
  type WrittenConnection,
} from './plan.ts';
import { stage2CommandLine } from './stage2-command-line.ts';
import { stateDirectory } from './state-directory.ts';
import { identifyDisk } from './target-disk.ts';

/** Seconds after which a stage 2 that has not reached the point of no return gives way to the old system. */
const stage2TimeoutSeconds = 1800;

export interface PlanRequest {
  readonly config: Config;
  readonly facts: Facts;
  readonly assets: Assets;
  readonly devices: readonly Device[];
  readonly toolVersion: string;
}

export interface PlanResult {
  /** Present if and only if no finding is an error. */
  readonly plan?: Plan;
  readonly findings: readonly Finding[];
}

/** Decides everything, changes nothing: the plan, or all that stands against it at once. */
export function makePlan(request: PlanRequest): PlanResult {
  const { config, assets, devices } = request;
  const sendsInStage2 = config.migrate.log.remote?.inStage2 === true && request.facts.wired !== undefined;
  const facts = sendsInStage2 ? withNetworkModules(request.facts) : request.facts;
  const device = devices.find((candidate) => candidate.matches(facts));
  const manager = device === undefined ? undefined : bootManagerOf(device, facts);
  const target = targetDisk(facts, config.migrate.forceFlashDevice);
  const disk = 'path' in target && 'partitions' in target ? target : undefined;
  const state = placeNamed(facts, stateDirectory);
  const { log } = config.migrate;
  const drive = log.drive === undefined ? undefined : logDrive(facts, log.drive, disk);
  const watchdogs = watchdogDuties(facts, config.migrate.watchdogs);
  const findings: Finding[] = [
    ...checkSettings(config),
    ...checkRemoteLog(config, facts),
    ...assets.findings,
    ...checkMachine(facts, device),
    ...(disk === undefined ? [target as Finding] : []),
    ...('code' in state ? [state] : []),
    ...checkAssets(assets, { config, device, disk }),
    ...checkFirmwareFit(facts, assets.image),
    ...checkRuntime(facts, assets.runtime),
    ...checkArchives(assets, { facts, manager }),
    ...checkNetwork(assets, config),
    ...watchdogs.findings,
    ...(disk === undefined || manager === undefined ? [] : manager.checkTarget(disk, facts)),
    ...(drive !== undefined && 'code' in drive ? [drive] : []),
  ];
  const { image } = assets;
  if (image === undefined || assets.runtime === undefined || 'code' in state) return { findings };
  const runtime = neededRuntime(assets.runtime, image);
  const layout = layOut({ facts, assets, image, state });
  const backupBytes = assets.backup?.archiveBytes ?? 0;
  const memory = memoryBudget({ facts, image, runtime, payload: layout.payload, backupBytes });
  const boot = manager === undefined ? state : placeAt(facts, manager.bootDirectory(facts));
  const space =
    'code' in boot ? undefined : spaceBudgets({ facts, runtime, copied: layout.copied, state, boot, backupBytes });
  const data = assets.backup === undefined ? undefined : dataBudgets(assets.backup, { image, disk });
  findings.push(
    ...memory.findings,
    ...('code' in boot ? [boot] : []),
    ...(space?.findings ?? []),
    ...(data?.findings ?? []),
  );
  if (refuses(findings) || device === undefined || manager === undefined || disk === undefined) return { findings };
  const steps = orderSteps({
    ...request,
    facts,
    sendsInStage2,
    manager,
    image,
    runtime,
    state,
    layout,
    watchdogs: watchdogs.duties,
  });
  const plan = identifyPlan({
    version: planVersion,
    toolVersion: request.toolVersion,
    device: device.name,
    deviceType: image.deviceType ?? '',
    bootManager: manager.kind,
    target: identifyDisk(disk),
    image,
    grade: 'C',
    memory: memory.budget,
    spaces: space?.budgets ?? [],
    ...(data === undefined ? {} : { dataSpaces: data.budgets }),
    ...(config.migrate.rebootSeconds === undefined ? {} : { rebootSeconds: config.migrate.rebootSeconds }),
    delaySeconds: config.migrate.delaySeconds,
    logLevel: log.level,
    ...(drive === undefined || 'code' in drive ? {} : { logDrive: drive }),
    ...(sendsInStage2
      ? {
          remoteLog: {
            addressPathInFileSystem: `${state.pathInFileSystem}/payload/${logAddressName}`,
            hostname: facts.hostname,
            interfaces: (facts.wired?.interfaces ?? []).map(({ mac }) => mac),
          },
        }
      : {}),
    ...(log.console ? {} : { isConsoleQuiet: true }),
    stateDirectory,
    stateDirectoryInFileSystem: state.pathInFileSystem,
    payloadFileSystem: { uuid: state.uuid, type: state.mount.fileSystem },
    ...steps,
  });
  return { plan, findings };
}

/** The programs that make file systems are left out where none is made: every byte takes RAM in stage 2. */
function neededRuntime(runtime: RuntimeAsset, image: TargetImage): RuntimeAsset {
  if (isArchived(image)) return runtime;
  return { ...runtime, files: runtime.files.filter(({ path }) => !path.startsWith(`${writerDirectory}/`)) };
}

/** The same machine, as if its wired interfaces were as necessary as its disks. */
function withNetworkModules(facts: Facts): Facts {
  const needed = [...facts.modules.needed, ...(facts.wired?.modules ?? [])];
  return { ...facts, modules: { ...facts.modules, needed } };
}

function placeAt(facts: Facts, path: string): Place | Finding {
  return (
    facts.places.find((candidate) => candidate.path === path) ??
    error('facts-incomplete', path, 'the facts do not say where it lies', 'Capture them again with migrate facts')
  );
}

function placeNamed(facts: Facts, path: string): PlacedPath | Finding {
  const place = placeAt(facts, path);
  return 'code' in place ? place : placedPath(facts, place);
}

interface Layout {
  /** Small files, and the image where it lies on another file system, that are copied beside the runtime. */
  readonly copied: readonly CopiedFile[];
  readonly payload: readonly PayloadFile[];
  readonly placed: readonly PlacedFile[];
  /** Keyfiles that stage 1 makes of the old system's networks. */
  readonly written: readonly WrittenConnection[];
}

const backupName = 'backup.tgz';
const sealName = 'backup.json';
const filesDirectory = `${stateDirectory}/payload/files`;
const logAddressName = 'log-address';

/** Decides what is copied into the payload directory and what stage 2 takes from where it lies. */
function layOut({
  facts,
  assets,
  image,
  state,
}: {
  facts: Facts;
  assets: Assets;
  image: TargetImage;
  state: PlacedPath;
}): Layout {
  const copied: CopiedFile[] = [];
  const payload: PayloadFile[] = [];
  const placed: PlacedFile[] = [];
  const written: WrittenConnection[] = [];
  const inPayload = (name: string, { sizeBytes, sha256 }: { sizeBytes: number; sha256: string }): void => {
    payload.push({ name, pathInFileSystem: `${state.pathInFileSystem}/payload/files/${name}`, sizeBytes, sha256 });
  };
  const copy = (name: string, file: { path: string; sizeBytes: number; sha256: string }): void => {
    const to = `${filesDirectory}/${name}`;
    copied.push({ from: file.path, to, mode: 0o600, sizeBytes: file.sizeBytes });
    inPayload(name, file);
  };
  const placeConnection = (payloadName: string, name: string): void => {
    placed.push({ payload: payloadName, partition: 'resin-boot', path: connectionPath(name), mode: 0o600 });
  };
  for (const file of filesOf(image)) {
    const place = placeNamed(facts, file.path);
    if ('code' in place || place.uuid !== state.uuid) copy(file.payload, file);
    else {
      const { sizeBytes, sha256 } = file;
      payload.push({ name: file.payload, pathInFileSystem: place.pathInFileSystem, sizeBytes, sha256 });
    }
  }
  const { configJson } = assets;
  if (configJson?.withHostname !== undefined) inPayload('config.json', configJson.withHostname);
  else if (configJson !== undefined) copy('config.json', configJson);
  if (configJson !== undefined) {
    placed.push({ payload: 'config.json', partition: 'resin-boot', path: configJsonPath, mode: 0o600 });
  }
  assets.connections.forEach((connection, index) => {
    copy(`connection-${index}`, connection);
    placeConnection(`connection-${index}`, connection.name);
  });
  (assets.networks?.profiles ?? []).forEach(({ name, description, sizeBytes, sha256 }, index) => {
    const payloadName = `migrated-connection-${index}`;
    written.push({ name, description, to: `${filesDirectory}/${payloadName}`, sha256 });
    inPayload(payloadName, { sizeBytes, sha256 });
    placeConnection(payloadName, name);
  });
  if (assets.backup !== undefined)
    placed.push({ payload: backupName, partition: 'resin-data', path: backupPath, mode: 0o600 });
  return { copied, payload, placed, written };
}

interface Ordering extends PlanRequest {
  readonly manager: BootManager;
  readonly image: TargetImage;
  readonly runtime: RuntimeAsset;
  readonly state: PlacedPath;
  readonly layout: Layout;
  readonly watchdogs: readonly WatchdogDuty[];
  readonly sendsInStage2: boolean;
}

function orderSteps(ordering: Ordering): Pick<Plan, 'stage1' | 'stage2' | 'pointOfNoReturn'> {
  const { config, facts, manager, image, layout, assets, state } = ordering;
  const configure: Step = {
    kind: 'configure-image',
    id: 'configure-image',
    files: layout.placed,
    logPath: '/migrate.log',
  };
  const { prove, write, commit } = isArchived(image) ? archiveSteps : imageSteps(image);
  const before: Step[] = [
    ...manager.restoreBoot(facts),
    { kind: 'load-payload', id: 'load-payload', files: layout.payload },
    ...(assets.backup === undefined
      ? []
      : [
          {
            kind: 'load-backup',
            id: 'load-backup',
            name: backupName,
            pathInFileSystem: `${state.pathInFileSystem}/payload/files/${backupName}`,
            sealInFileSystem: `${state.pathInFileSystem}/payload/files/${sealName}`,
            limitBytes: assets.backup.archiveBytes,
          } satisfies Step,
        ]),
    // The programs that make file systems want to see a disk that nothing uses.
    ...(isArchived(image) ? [release, prove] : [prove, release]),
  ];
  if (config.debug.noFlash) return { stage1: orderStage1(ordering), stage2: before };
  return {
    stage1: orderStage1(ordering),
    stage2: [...before, ...manager.bootTarget(facts, image), ...write, configure, commit],
    pointOfNoReturn: write[0].id,
  };
}

const release: Step = { kind: 'release-target', id: 'release-target' };

interface WritingSteps {
  readonly prove: Step;
  readonly write: readonly [Step, ...Step[]];
  readonly commit: Step;
}

const archiveSteps: WritingSteps = {
  prove: { kind: 'prove-archives', id: 'prove-archives' },
  write: [{ kind: 'write-file-systems', id: 'write-file-systems' }],
  commit: { kind: 'commit-table', id: 'commit-table' },
};

function imageSteps(image: ImageFacts): WritingSteps {
  const payload = 'image';
  const { sizeBytes } = image;
  return {
    prove: { kind: 'prove-image', id: 'prove-image', payload },
    write: [
      { kind: 'flash-image', id: 'flash-image', payload, sizeBytes, writtenBytes: writtenBytes(image) },
      { kind: 'verify-image', id: 'verify-image', payload },
    ],
    commit: { kind: 'commit-image', id: 'commit-image', payload },
  };
}

/** All that stage 2 needs is durable before the boot manager is told of it; arming is the last step. */
function orderStage1({
  config,
  facts,
  assets,
  manager,
  runtime,
  state,
  layout,
  image,
  watchdogs,
  sendsInStage2,
}: Ordering): readonly Step[] {
  const payloadDirectory = `${stateDirectory}/payload`;
  const bootDirectory = manager.bootDirectory(facts);
  const initramfsPath = `${bootDirectory}/stage2.img`;
  const restore = manager.restoreAtOnce?.(facts);
  const runtimeFiles: CopiedFile[] = runtime.files.map((file) => ({
    from: `${runtime.directory}/${file.path}`,
    to: `${payloadDirectory}/${file.path}`,
    mode: file.isExecutable ? 0o700 : 0o600,
    sizeBytes: file.sizeBytes,
  }));
  const directories = [
    payloadDirectory,
    ...parentsBelow(payloadDirectory, [
      ...runtimeFiles,
      ...layout.copied,
      ...layout.written,
      { to: `${filesDirectory}/` },
    ]),
    bootDirectory,
  ];
  // Named by the image, so that an entry of an earlier migration is never taken for this one.
  const entryId = `balena-migrate-${digestOf(image).slice(0, 12)}`;
  return [
    ...directories.map((path): Step => ({ kind: 'make-directory', id: `make ${path}`, path, mode: 0o700 })),
    { kind: 'copy-files', id: 'copy-runtime', files: runtimeFiles },
    ...(layout.copied.length === 0
      ? []
      : [{ kind: 'copy-files', id: 'copy-files', files: layout.copied } satisfies Step]),
    ...(layout.written.length === 0
      ? []
      : [
          {
            kind: 'write-connections',
            id: 'write-connections',
            choice: networkChoice(config),
            files: layout.written,
          } satisfies Step,
        ]),
    ...writtenByStage1(assets),
    ...(sendsInStage2
      ? [
          {
            kind: 'write-secret',
            id: 'write-log-address',
            path: `${payloadDirectory}/${logAddressName}`,
            secret: 'log-address',
          } satisfies Step,
        ]
      : []),
    { kind: 'write-plan', id: 'write-plan', path: `${payloadDirectory}/plan.json` },
    {
      kind: 'build-initramfs',
      id: 'build-initramfs',
      path: initramfsPath,
      busybox: `${runtime.directory}/runtime/busybox`,
      init: `${runtime.directory}/app/init`,
      ...(sendsInStage2 ? { network: `${runtime.directory}/app/network` } : {}),
      modules: facts.modules.needed,
      settings: {
        payloadUuid: state.uuid,
        payloadFileSystem: state.mount.fileSystem,
        payloadPath: `${state.pathInFileSystem}/payload`,
        timeoutSeconds: stage2TimeoutSeconds + config.migrate.delaySeconds,
        planId: '',
        ...(config.migrate.failMode === 'reboot' ? {} : { failMode: config.migrate.failMode }),
        ...(watchdogs.length === 0 ? {} : { watchdogs }),
        ...(restore === undefined ? {} : { restore }),
      },
    },
    ...manager.bootOnce(
      {
        entryId,
        kernelPath: facts.kernel.image?.path ?? '',
        initramfsPath,
        commandLine: stage2CommandLine(facts.kernel.commandLine, config.migrate.kernelOptions),
      },
      facts,
    ),
  ];
}

/** What is made of this system's own files. The backup comes last, to be as fresh as it can. */
function writtenByStage1({ configJson, backup }: Assets): readonly Step[] {
  const steps: Step[] = [];
  if (configJson?.withHostname !== undefined) {
    const { hostname, sha256 } = configJson.withHostname;
    const path = `${filesDirectory}/config.json`;
    steps.push({ kind: 'write-config-json', id: 'write-config-json', from: configJson.path, path, hostname, sha256 });
  }
  if (backup !== undefined) {
    steps.push({
      kind: 'write-backup',
      id: 'write-backup',
      volumes: backup.volumes,
      to: `${filesDirectory}/${backupName}`,
      sealTo: `${filesDirectory}/${sealName}`,
      limitBytes: backup.archiveBytes,
    });
  }
  return steps;
}

/** Directories that the files need below `top`, parents first. */
function parentsBelow(top: string, files: readonly { readonly to: string }[]): string[] {
  const found = new Set<string>();
  for (const { to } of files) {
    const names = to
      .slice(top.length + 1)
      .split('/')
      .slice(0, -1);
    names.forEach((_, index) => {
      found.add(`${top}/${names.slice(0, index + 1).join('/')}`);
    });
  }
  return [...found].sort();
}
