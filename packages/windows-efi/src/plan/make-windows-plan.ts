import {
  type Assets,
  type Config,
  checkArchives,
  checkAssets,
  checkFirmwareFit,
  checkGrade,
  checkNetwork,
  checkRemoteLog,
  checkRuntime,
  checkSettings,
  type Device,
  error,
  type Finding,
  gradeOf,
  identifyDisk,
  identifyPlan,
  logDrive,
  memoryBudget,
  neededRuntime,
  orderStage2,
  type PlanResult,
  pathBelow,
  planVersion,
  refuses,
  uefiTarget,
  watchdogDuties,
} from '@migrate/core';
import { systemPartition, type WindowsFacts, windowsPartition } from '../facts/windows-facts.ts';
import type { BootParts } from './boot-parts.ts';
import { checkSystemPartition } from './check-loader.ts';
import { checkWindows } from './check-windows.ts';
import { coreDisk, coreFacts } from './core-facts.ts';
import { orderWindowsLifeboat } from './order-windows-lifeboat.ts';
import { type BootWay, orderWindowsStage1, windowsRestoreBoot } from './order-windows-stage1.ts';
import { payloadState } from './payload-paths.ts';
import { isRoom, planPayload } from './plan-payload.ts';

export interface WindowsPlanRequest {
  readonly config: Config;
  readonly facts: WindowsFacts;
  readonly assets: Assets;
  /** What the bundle has for starting stage 2. */
  readonly boot: BootParts | undefined;
  /** What the machine is once Windows is gone. */
  readonly device: Device;
  readonly toolVersion: string;
}

/** Where stage 1 keeps its lock and journal: undo trusts them, so that no user may put them there before. */
export function windowsStateDirectory({ programFiles }: Pick<WindowsFacts, 'programFiles'>): string {
  return pathBelow(programFiles, 'balena-migrate');
}

/** Decides everything, changes nothing: the plan for a machine that runs Windows, or all that stands against it at once. */
export function makeWindowsPlan(request: WindowsPlanRequest): PlanResult {
  const { config, facts: windows, assets, boot, device } = request;
  const facts = coreFacts(windows, boot);
  const own = windowsPartition(windows);
  const disk = own === undefined ? undefined : coreDisk(own.disk);
  const { log } = config.migrate;
  const drive = log.drive === undefined ? undefined : logDrive(facts, log.drive, disk);
  const findings: Finding[] = [
    ...checkSettings(config),
    ...checkWindowsSettings(config),
    ...checkRemoteLog(config, facts),
    ...assets.findings,
    ...checkWindows(windows, config),
    ...checkTwins(windows),
    ...checkAssets(assets, { config, device, disk }),
    ...checkFirmwareFit(facts, assets.image),
    // Which kernel its programs meet is known only from the bundle.
    ...(boot === undefined ? [] : checkRuntime(facts, assets.runtime)),
    ...checkArchives(assets, { facts, manager: undefined }),
    ...checkNetwork(assets, config),
    ...watchdogDuties(facts, config.migrate.watchdogs).findings,
    ...(drive !== undefined && 'code' in drive ? [drive] : []),
  ];
  const way = bootWay(windows, config);
  if (boot !== undefined && config.migrate.windowsBoot === 'boot-manager')
    findings.push(...checkSystemPartition(windows, boot));
  const { image } = assets;
  if (image === undefined || assets.runtime === undefined || boot === undefined) return { findings };
  const runtime = neededRuntime(assets.runtime, image);
  const runtimes = { all: assets.runtime, needed: runtime };
  const { layout, staging, budget, room } = planPayload({
    ...{ config, facts, assets, image, boot, device, own },
    runtime: runtimes,
  });
  const memory = memoryBudget({
    facts,
    image,
    runtime,
    payload: layout.payload,
    backupBytes: 0,
    staging: staging.kind,
  });
  findings.push(
    ...checkGrade(config, staging),
    ...memory.findings,
    ...budget.findings,
    ...(room !== undefined && 'code' in room ? [room] : []),
  );
  const diskGuid = own?.disk.guid;
  if (refuses(findings) || disk === undefined || !isRoom(room) || way === undefined) return { findings };
  if (own === undefined || diskGuid === undefined) return { findings };
  const lifeboat =
    staging.kind === 'ram'
      ? undefined
      : orderWindowsLifeboat({ staging, room, image, runtime: runtimes, payload: layout.payload });
  const plan = identifyPlan({
    version: planVersion,
    toolVersion: request.toolVersion,
    device: device.name,
    deviceType: image.deviceType ?? '',
    bootManager: `windows-${way.kind}`,
    target: identifyDisk(disk),
    image,
    grade: gradeOf(staging),
    ...(staging.kind === 'ram' ? { gradeReason: staging.why } : {}),
    memory: memory.budget,
    spaces: [{ path: 'the partition for stage 2', needed: budget.needed, availableBytes: room.sizeBytes }],
    ...(config.migrate.rebootSeconds === undefined ? {} : { rebootSeconds: config.migrate.rebootSeconds }),
    delaySeconds: config.migrate.delaySeconds,
    logLevel: log.level,
    ...(drive === undefined || 'code' in drive ? {} : { logDrive: drive }),
    ...(log.console ? {} : { isConsoleQuiet: true }),
    stateDirectory: windowsStateDirectory(windows),
    stateDirectoryInFileSystem: payloadState,
    payloadFileSystem: { type: 'vfat' },
    stage1: orderWindowsStage1({
      ...request,
      ...{ boot, image, runtime, layout, disk: { disk: own.disk.number, diskGuid }, room, way },
      ...(lifeboat === undefined ? {} : { lifeboat }),
    }),
    ...orderStage2({
      image,
      layout,
      restoreBoot: windowsRestoreBoot(way),
      bootTarget: [uefiTarget(64)],
      ...(lifeboat === undefined ? {} : { lifeboat: lifeboat.stage2 }),
      noFlash: config.debug.noFlash,
    }),
  });
  return { plan, findings };
}

function bootWay(facts: WindowsFacts, { migrate }: Config): BootWay | undefined {
  if (migrate.windowsBoot !== 'boot-manager') return { kind: 'boot-next' };
  const esp = systemPartition(facts);
  const { disk, partition } = esp ?? {};
  const uuid = partition?.volume?.uuid;
  if (disk?.guid === undefined || partition?.guid === undefined || uuid === undefined) return undefined;
  const place = { disk: disk.number, diskGuid: disk.guid, partition: partition.number, guid: partition.guid };
  return { kind: 'boot-manager', esp: place, uuid };
}

/** Settings that mean something on Linux only. */
function checkWindowsSettings({ migrate }: Config): Finding[] {
  const findings: Finding[] = [];
  if (migrate.forceFlashDevice !== undefined)
    findings.push(
      error(
        'target-forced',
        'migrate.force_flash_device',
        'on Windows only the disk that Windows lies on can be flashed',
        'Remove the setting',
      ),
    );
  if (
    migrate.backup.length > 0 ||
    migrate.identity.sshHostKeys !== undefined ||
    migrate.identity.machineId !== undefined
  )
    findings.push(
      error(
        'backup-unsupported',
        'migrate.backup',
        'files of Windows cannot be taken along yet',
        'Remove migrate.backup, identity.ssh_host_keys and identity.machine_id, and move the files by other means',
      ),
    );
  return findings;
}

/** Stage 2 finds the disk by the GUID of its table, which a copy of it shares. */
function checkTwins(facts: WindowsFacts): Finding[] {
  const own = windowsPartition(facts)?.disk;
  if (own?.guid === undefined) return [];
  const twins = facts.disks.filter(({ number, guid }) => number !== own.number && guid === own.guid);
  return twins.map((twin) =>
    error(
      'disk-guid-twice',
      `disk ${twin.number}`,
      `it has the same disk GUID as disk ${own.number}, so stage 2 could take the wrong one`,
      'Remove the disk, or give it another GUID with diskpart (uniqueid disk)',
    ),
  );
}
