import { type Assets, type RuntimeAsset, runtimeFileBytes } from '../assets/assets.ts';
import { imagePayloads, type TargetImage } from '../assets/image.ts';
import type { Config } from '../config/config.ts';
import type { WatchdogDuty } from '../initramfs/initramfs.ts';
import type { BootManager } from '../machine/device.ts';
import type { Facts } from '../machine/facts.ts';
import { networkChoice } from '../network/choose-profiles.ts';
import type { PlacedPath } from './check-machine.ts';
import { entryIdOf, type Staging } from './choose-staging.ts';
import { backupName, filesDirectory, logAddressName, type PayloadLayout, sealName } from './lay-out-payload.ts';
import {
  type LifeboatOrdering,
  lateLoaders,
  orderLifeboat,
  packLinuxPayload,
  sealLateLifeboat,
} from './order-lifeboat.ts';
import type { CopiedFile, Step } from './plan.ts';
import { stage2CommandLine } from './stage2-command-line.ts';
import { stateDirectory } from './state-directory.ts';

/** Seconds after which a stage 2 that has not reached the point of no return gives way to the old system. */
export const stage2TimeoutSeconds = 1800;

/** All that the steps follow from. */
export interface Ordering {
  readonly config: Config;
  readonly facts: Facts;
  readonly assets: Assets;
  readonly manager: BootManager;
  readonly image: TargetImage;
  readonly runtime: RuntimeAsset;
  readonly state: PlacedPath;
  readonly layout: PayloadLayout;
  readonly watchdogs: readonly WatchdogDuty[];
  readonly sendsInStage2: boolean;
  readonly staging: Staging;
}

/** Of stage 2, where the boot manager reads it. */
export function initramfsPathOf(manager: BootManager, facts: Facts): string {
  return `${manager.bootDirectory(facts)}/stage2.img`;
}

/** All that stage 2 needs is durable before the boot manager is told of it; arming is the last step. */
export function orderStage1({
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
  staging,
}: Ordering): readonly Step[] {
  const payloadDirectory = `${stateDirectory}/payload`;
  const bootDirectory = manager.bootDirectory(facts);
  const initramfsPath = initramfsPathOf(manager, facts);
  const kernelPath = facts.kernel.image?.path ?? '';
  const restore = manager.restoreAtOnce?.(facts);
  const runtimeFiles: CopiedFile[] = runtime.files.map((file) => ({
    from: `${runtime.directory}/${file.path}`,
    to: `${payloadDirectory}/${file.path}`,
    mode: file.isExecutable ? 0o700 : 0o600,
    sizeBytes: file.sizeBytes,
  }));
  const late = staging.kind === 'lifeboat' ? staging.late : undefined;
  const loaders: CopiedFile[] = (staging.kind === 'ram' ? [] : lateLoaders(staging)).map((file) => ({
    ...file,
    mode: 0o600,
    sizeBytes: runtimeFileBytes(assets.runtime, file.from),
  }));
  const directories = [
    payloadDirectory,
    ...parentsBelow(payloadDirectory, [
      ...runtimeFiles,
      ...loaders,
      ...layout.copied,
      ...layout.written,
      { to: `${filesDirectory}/` },
    ]),
    bootDirectory,
  ];
  const isImage = imagePayloads(image);
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
        ...(staging.kind === 'lifeboat' ? { lifeboatUuid: staging.serial } : {}),
        ...(config.migrate.failMode === 'reboot' ? {} : { failMode: config.migrate.failMode }),
        ...(watchdogs.length === 0 ? {} : { watchdogs }),
        ...(restore === undefined ? {} : { restore }),
      },
    },
    ...(staging.kind === 'ram'
      ? []
      : lifeboatSteps({
          staging,
          initramfsPath,
          kernelPath,
          // All that stage 2 reads beside the image and the backup, which lie in the lifeboat as they are.
          payload: [
            ...runtimeFiles.map(({ to, mode }) => ({ path: to, mode })),
            ...layout.payload
              .filter(({ name }) => !isImage.has(name))
              .map(({ name }) => ({ path: `${filesDirectory}/${name}`, mode: 0o600 })),
            ...(sendsInStage2 ? [{ path: `${payloadDirectory}/${logAddressName}`, mode: 0o600 }] : []),
            { path: `${payloadDirectory}/plan.json`, mode: 0o600 },
          ],
          image,
          hasBackup: assets.backup !== undefined,
          bundleDirectory: runtime.directory,
        })),
    ...(loaders.length === 0 ? [] : [{ kind: 'copy-files', id: 'copy-loaders', files: loaders } satisfies Step]),
    ...(staging.kind === 'ram' || late === undefined
      ? []
      : [sealLateLifeboat({ staging, late, kernelPath, initramfsPath, statePath: state.pathInFileSystem })]),
    ...manager.bootOnce(
      {
        entryId: entryIdOf(image),
        kernelPath,
        initramfsPath,
        commandLine: stage2CommandLine(facts.kernel.commandLine, config.migrate.kernelOptions),
        ...(late === undefined ? {} : { mayStartAlways: true }),
      },
      facts,
    ),
  ];
}

/** Before arming: a lifeboat, or what stage 2 makes one of. */
function lifeboatSteps(ordering: LifeboatOrdering): readonly Step[] {
  return ordering.staging.late === undefined ? orderLifeboat(ordering) : [packLinuxPayload(ordering)];
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
