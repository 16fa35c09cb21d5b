import type { Assets, RuntimeAsset } from '../assets/assets.ts';
import { imagePayloads, isArchived, type TargetImage } from '../assets/image.ts';
import type { Config } from '../config/config.ts';
import { checkRemoteLog } from '../log/check-remote-log.ts';
import { logDrive } from '../log/log-drive.ts';
import { withStage2Kernel } from '../machine/asked-kernel.ts';
import { bootManagerOf, type Device } from '../machine/device.ts';
import type { Facts } from '../machine/facts.ts';
import { watchdogDuties } from '../watchdog/watchdog-duties.ts';
import { dataBudgets, memoryBudget, spaceBudgets } from './budget.ts';
import { checkArchives, writerDirectory } from './check-archives.ts';
import { checkBootSettings } from './check-boot-settings.ts';
import { checkAssets, checkFirmwareFit } from './check-image.ts';
import { checkMachine, targetDisk } from './check-machine.ts';
import { checkNetwork } from './check-network.ts';
import { checkRuntime } from './check-runtime.ts';
import { checkSettings } from './check-settings.ts';
import {
  checkGrade,
  chooseStaging,
  gradeOf,
  gradeReasonOf,
  lifeboatDirectory,
  packedBytes,
  powerWindowOf,
  type Staging,
} from './choose-staging.ts';
import { type Finding, refuses } from './finding.ts';
import { filesDirectory, layOutPayload, logAddressName, placeAt, placeNamed } from './lay-out-payload.ts';
import { orderSteps } from './order-steps.ts';
import { identifyPlan, type Plan, planVersion } from './plan.ts';
import { stateDirectory } from './state-directory.ts';
import { identifyDisk } from './target-disk.ts';

/** Most that boot loaders for a lifeboat take. */
const loadersBytes = 4 * 1024 * 1024;

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
  const machine = withStage2Kernel(request.facts);
  const sendsInStage2 = config.migrate.log.remote?.inStage2 === true && machine.wired !== undefined;
  const facts = sendsInStage2 ? withNetworkModules(machine) : machine;
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
    ...checkBootSettings(config, facts),
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
  const staging: Staging =
    disk === undefined || manager === undefined
      ? { kind: 'ram', why: 'the machine is not known' }
      : chooseStaging({ ...request, facts, image, runtime: assets.runtime, state, disk, manager });
  const layout = layOutPayload({
    assets,
    image,
    files: { inStage1: filesDirectory, inFileSystem: `${state.pathInFileSystem}/payload/files` },
    inPlace: (path) => {
      const place = placeNamed(facts, path);
      return 'code' in place || place.uuid !== state.uuid ? undefined : place.pathInFileSystem;
    },
    // The lifeboat takes it from where it lies.
    leavesOutImage: staging.kind === 'lifeboat' && staging.late === undefined,
  });
  const isImage = imagePayloads(image);
  const late = staging.kind === 'lifeboat' ? staging.late : undefined;
  const backupBytes = assets.backup?.archiveBytes ?? 0;
  const memory = memoryBudget({
    facts,
    image,
    runtime,
    // What goes into a lifeboat takes no memory.
    payload: late === undefined ? layout.payload : layout.payload.filter(({ name }) => !isImage.has(name)),
    backupBytes,
    staging: staging.kind,
  });
  const boot = manager === undefined ? state : placeAt(facts, manager.bootDirectory(facts));
  const space =
    'code' in boot
      ? undefined
      : spaceBudgets({
          facts,
          runtime,
          copied: layout.copied,
          state,
          boot,
          backupBytes,
          ...lifeboatSpace(staging, runtime),
        });
  const data = assets.backup === undefined ? undefined : dataBudgets(assets.backup, { image, disk });
  findings.push(
    ...(disk === undefined || manager === undefined ? [] : checkGrade(config, staging)),
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
    staging,
  });
  const [gradeReason, window] = [gradeReasonOf(staging), powerWindowOf(staging)];
  const plan = identifyPlan({
    version: planVersion,
    toolVersion: request.toolVersion,
    device: device.name,
    deviceType: image.deviceType ?? '',
    bootManager: manager.kind,
    target: identifyDisk(disk),
    image,
    grade: gradeOf(staging),
    ...(gradeReason === undefined ? {} : { gradeReason }),
    ...(window === undefined ? {} : { window }),
    ...(late === undefined ? {} : { lateLifeboatReason: late.why }),
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

/** Room that stage 1 needs for a lifeboat, or for what stage 2 makes one of. */
function lifeboatSpace(
  staging: Staging,
  runtime: RuntimeAsset,
): { readonly lifeboatBytes: number; readonly packedBytes: number } {
  if (staging.kind === 'ram') return { lifeboatBytes: 0, packedBytes: 0 };
  return staging.late === undefined
    ? { lifeboatBytes: staging.sizeBytes, packedBytes: 0 }
    : { lifeboatBytes: 0, packedBytes: packedBytes(runtime) + loadersBytes };
}

/** The programs that make file systems are left out where none is made, and what only stage 1 needs: every byte takes RAM in stage 2. */
export function neededRuntime(runtime: RuntimeAsset, image: TargetImage): RuntimeAsset {
  const left = isArchived(image) ? [lifeboatDirectory] : [lifeboatDirectory, writerDirectory];
  const files = runtime.files.filter(({ path }) => !left.some((directory) => path.startsWith(`${directory}/`)));
  return { ...runtime, files };
}

/** The same machine, as if its wired interfaces were as necessary as its disks. */
function withNetworkModules(facts: Facts): Facts {
  const needed = [...facts.modules.needed, ...(facts.wired?.modules ?? [])];
  return { ...facts, modules: { ...facts.modules, needed } };
}
