import type { Assets, RuntimeAsset } from '../assets/assets.ts';
import { configJsonPath, connectionPath } from '../assets/boot-files.ts';
import { type ImageFacts, writtenBytes } from '../assets/image.ts';
import type { Config } from '../config/config.ts';
import { type BootManager, bootManagerOf, type Device } from '../machine/device.ts';
import type { Facts, Place } from '../machine/facts.ts';
import { networkChoice } from '../network/choose-profiles.ts';
import { memoryBudget, spaceBudgets } from './budget.ts';
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
import { identifyDisk } from './target-disk.ts';

/** Where stage 1 keeps its lock and journal, and stage 2 its payload. */
export const stateDirectory = '/var/lib/balena-migrate';

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
  const { config, facts, assets, devices } = request;
  const device = devices.find((candidate) => candidate.matches(facts));
  const manager = device === undefined ? undefined : bootManagerOf(device, facts);
  const target = targetDisk(facts, config.migrate.forceFlashDevice);
  const disk = 'path' in target && 'partitions' in target ? target : undefined;
  const state = placeNamed(facts, stateDirectory);
  const findings: Finding[] = [
    ...checkSettings(config),
    ...assets.findings,
    ...checkMachine(facts, device),
    ...(disk === undefined ? [target as Finding] : []),
    ...('code' in state ? [state] : []),
    ...checkAssets(assets, { config, device, disk }),
    ...checkFirmwareFit(facts, assets.image),
    ...checkRuntime(facts, assets.runtime),
    ...checkNetwork(assets, config),
  ];
  const { image, runtime } = assets;
  if (image === undefined || runtime === undefined || 'code' in state) return { findings };
  const layout = layOut({ facts, assets, image, state });
  const memory = memoryBudget({ facts, image, runtime, payload: layout.payload });
  const boot = manager === undefined ? state : placeAt(facts, manager.bootDirectory(facts));
  const space = 'code' in boot ? undefined : spaceBudgets({ facts, runtime, copied: layout.copied, state, boot });
  findings.push(...memory.findings, ...('code' in boot ? [boot] : []), ...(space?.findings ?? []));
  if (refuses(findings) || device === undefined || manager === undefined || disk === undefined) return { findings };
  const steps = orderSteps({ ...request, manager, image, runtime, state, layout });
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
    ...(config.migrate.rebootSeconds === undefined ? {} : { rebootSeconds: config.migrate.rebootSeconds }),
    delaySeconds: config.migrate.delaySeconds,
    logLevel: config.migrate.log.level,
    stateDirectory,
    stateDirectoryInFileSystem: state.pathInFileSystem,
    payloadFileSystem: { uuid: state.uuid, type: state.mount.fileSystem },
    ...steps,
  });
  return { plan, findings };
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

const imageName = 'image';

/** Decides what is copied into the payload directory and what stage 2 takes from where it lies. */
function layOut({
  facts,
  assets,
  image,
  state,
}: {
  facts: Facts;
  assets: Assets;
  image: ImageFacts;
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
    const to = `${stateDirectory}/payload/files/${name}`;
    copied.push({ from: file.path, to, mode: 0o600, sizeBytes: file.sizeBytes });
    inPayload(name, file);
  };
  const placeConnection = (payloadName: string, name: string): void => {
    placed.push({ payload: payloadName, partition: 'resin-boot', path: connectionPath(name), mode: 0o600 });
  };
  const imagePlace = placeNamed(facts, image.path);
  const imageFile = { path: image.path, sizeBytes: image.fileBytes, sha256: image.fileSha256 };
  if ('code' in imagePlace || imagePlace.uuid !== state.uuid) {
    copy(imageName, imageFile);
  } else {
    payload.push({
      name: imageName,
      pathInFileSystem: imagePlace.pathInFileSystem,
      sizeBytes: image.fileBytes,
      sha256: image.fileSha256,
    });
  }
  if (assets.configJson !== undefined) {
    copy('config.json', assets.configJson);
    placed.push({ payload: 'config.json', partition: 'resin-boot', path: configJsonPath, mode: 0o600 });
  }
  assets.connections.forEach((connection, index) => {
    copy(`connection-${index}`, connection);
    placeConnection(`connection-${index}`, connection.name);
  });
  (assets.networks?.profiles ?? []).forEach(({ name, description, sizeBytes, sha256 }, index) => {
    const payloadName = `migrated-connection-${index}`;
    written.push({ name, description, to: `${stateDirectory}/payload/files/${payloadName}`, sha256 });
    inPayload(payloadName, { sizeBytes, sha256 });
    placeConnection(payloadName, name);
  });
  return { copied, payload, placed, written };
}

interface Ordering extends PlanRequest {
  readonly manager: BootManager;
  readonly image: ImageFacts;
  readonly runtime: RuntimeAsset;
  readonly state: PlacedPath;
  readonly layout: Layout;
}

function orderSteps(ordering: Ordering): Pick<Plan, 'stage1' | 'stage2' | 'pointOfNoReturn'> {
  const { config, facts, manager, image, layout } = ordering;
  const before: Step[] = [
    ...manager.restoreBoot(facts),
    { kind: 'load-payload', id: 'load-payload', files: layout.payload },
    { kind: 'prove-image', id: 'prove-image', payload: imageName },
    { kind: 'release-target', id: 'release-target' },
  ];
  if (config.debug.noFlash) return { stage1: orderStage1(ordering), stage2: before };
  const after: Step[] = [
    {
      kind: 'flash-image',
      id: 'flash-image',
      payload: imageName,
      sizeBytes: image.sizeBytes,
      writtenBytes: writtenBytes(image),
    },
    { kind: 'verify-image', id: 'verify-image', payload: imageName },
    { kind: 'configure-image', id: 'configure-image', files: layout.placed, logPath: '/migrate.log' },
    { kind: 'commit-image', id: 'commit-image', payload: imageName },
  ];
  return {
    stage1: orderStage1(ordering),
    stage2: [...before, ...manager.bootTarget(facts, image), ...after],
    pointOfNoReturn: 'flash-image',
  };
}

/** All that stage 2 needs is durable before the boot manager is told of it; arming is the last step. */
function orderStage1({ config, facts, manager, runtime, state, layout, image }: Ordering): readonly Step[] {
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
    ...parentsBelow(payloadDirectory, [...runtimeFiles, ...layout.copied, ...layout.written]),
    bootDirectory,
  ];
  // Named by the image, so that an entry of an earlier migration is never taken for this one.
  const entryId = `balena-migrate-${image.fileSha256.slice(0, 12)}`;
  return [
    ...directories.map((path): Step => ({ kind: 'make-directory', id: `make ${path}`, path, mode: 0o700 })),
    { kind: 'copy-files', id: 'copy-runtime', files: runtimeFiles },
    { kind: 'copy-files', id: 'copy-files', files: layout.copied },
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
    { kind: 'write-plan', id: 'write-plan', path: `${payloadDirectory}/plan.json` },
    {
      kind: 'build-initramfs',
      id: 'build-initramfs',
      path: initramfsPath,
      busybox: `${runtime.directory}/runtime/busybox`,
      init: `${runtime.directory}/app/init`,
      modules: facts.modules.needed,
      settings: {
        payloadUuid: state.uuid,
        payloadFileSystem: state.mount.fileSystem,
        payloadPath: `${state.pathInFileSystem}/payload`,
        timeoutSeconds: stage2TimeoutSeconds + config.migrate.delaySeconds,
        planId: '',
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
