// The steps of stage 1 on Windows: room, the payload's partition, all that stage 2 needs on it, and arming last.
import {
  type Assets,
  bootEntryName,
  type Config,
  type CopiedFile,
  digestOf,
  networkChoice,
  type PayloadLayout,
  type PayloadPartition,
  type PayloadStep,
  type RuntimeAsset,
  type Step,
  stage2CommandLine,
  stage2TimeoutSeconds,
  type TargetImage,
  type WindowsDiskIdentity,
  type WindowsPartition,
} from '@migrate/core';
import { bootNextMenu, environmentPath, loaderPath, menuPath } from '../boot/grub-menu.ts';
import { partitionTypes } from '../facts/windows-facts.ts';
import type { BootParts } from './boot-parts.ts';
import type { Room } from './find-room.ts';
import type { WindowsLifeboat } from './order-windows-lifeboat.ts';
import { initramfsPath, kernelPath, payloadDirectory, payloadFiles } from './payload-paths.ts';

/** Of the payload's file system; a FAT's label has up to 11 characters. */
const payloadLabel = 'MIGRATE';
/** As in GRUB's own menus. */
const oneShotName = 'next_entry';

/** How stage 2 is started once. */
export type BootWay =
  | { readonly kind: 'boot-next' }
  | {
      readonly kind: 'boot-manager';
      readonly esp: WindowsPartition;
      /** UUID of its file system. */
      readonly uuid: string;
    };

export interface WindowsOrdering {
  readonly config: Config;
  readonly assets: Assets;
  readonly image: TargetImage;
  readonly runtime: RuntimeAsset;
  readonly boot: BootParts;
  readonly layout: PayloadLayout;
  readonly disk: WindowsDiskIdentity;
  readonly room: Room;
  readonly way: BootWay;
  readonly lifeboat?: WindowsLifeboat;
}

export function orderWindowsStage1(ordering: WindowsOrdering): readonly Step[] {
  const { disk, room } = ordering;
  const { shrink } = room;
  const place: PayloadPartition = { ...disk, offsetBytes: room.offsetBytes, label: payloadLabel };
  return [
    ...(shrink === undefined
      ? []
      : [
          {
            kind: 'resize-windows-partition',
            id: 'make-room',
            place: { ...disk, ...shrink.partition },
            fromBytes: shrink.fromBytes,
            toBytes: shrink.toBytes,
          } satisfies Step,
        ]),
    {
      kind: 'create-payload-partition',
      id: 'make-payload-partition',
      place,
      sizeBytes: room.sizeBytes,
      typeGuid: partitionTypes.basicData,
    },
    ...payload(ordering).map((step): Step => ({ kind: 'on-payload-partition', id: step.id, place, step })),
    arm(ordering, place),
  ];
}

/** What restores, or confirms, the old boot path in stage 2. */
export function windowsRestoreBoot(way: BootWay): readonly Step[] {
  if (way.kind === 'boot-next') return [{ kind: 'confirm-uefi-boot-next-cleared', id: 'confirm-one-shot' }];
  return [
    {
      kind: 'confirm-grub-variable-cleared',
      id: 'confirm-one-shot',
      pathInFileSystem: environmentPath,
      fileSystemUuid: way.uuid,
      fileSystemType: 'vfat',
      name: oneShotName,
    },
  ];
}

function payload({ config, assets, runtime, boot, layout, way, lifeboat }: WindowsOrdering): readonly PayloadStep[] {
  const runtimeFiles: CopiedFile[] = runtime.files.map(({ path, sizeBytes }) => ({
    from: `${runtime.directory}/${path}`,
    to: `${payloadDirectory}/${path}`,
    mode: 0o600,
    sizeBytes,
  }));
  const bootFiles = [
    { ...boot.kernel, to: kernelPath },
    ...(way.kind === 'boot-next' ? [{ ...boot.loader, to: loaderPath }] : []),
  ].map(({ path, to, sizeBytes }): CopiedFile => ({ from: path, to, mode: 0o600, sizeBytes }));
  const { configJson } = assets;
  const withHostname = configJson?.withHostname;
  return [
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
          } satisfies PayloadStep,
        ]),
    ...(configJson === undefined || withHostname === undefined
      ? []
      : [
          {
            kind: 'write-config-json',
            id: 'write-config-json',
            from: configJson.path,
            path: `${payloadFiles}/config.json`,
            hostname: withHostname.hostname,
            sha256: withHostname.sha256,
          } satisfies PayloadStep,
        ]),
    { kind: 'write-plan', id: 'write-plan', path: `${payloadDirectory}/plan.json` },
    { kind: 'copy-files', id: 'copy-kernel', files: bootFiles },
    {
      kind: 'build-initramfs',
      id: 'build-initramfs',
      path: initramfsPath,
      busybox: `${runtime.directory}/runtime/busybox`,
      init: `${runtime.directory}/app/init`,
      modules: boot.modules,
      settings: {
        // The file system has one when it is made.
        payloadUuid: '',
        payloadFileSystem: 'vfat',
        payloadPath: payloadDirectory,
        timeoutSeconds: stage2TimeoutSeconds + config.migrate.delaySeconds,
        planId: '',
        ...(lifeboat === undefined ? {} : { lifeboatUuid: lifeboat.serial }),
        ...(config.migrate.failMode === 'reboot' ? {} : { failMode: config.migrate.failMode }),
      },
    },
    ...(lifeboat?.stage1 ?? []),
    ...(way.kind === 'boot-next'
      ? [
          {
            kind: 'write-file',
            id: 'write-menu',
            path: menuPath,
            text: bootNextMenu(startOf(config)),
            mode: 0o600,
          } satisfies PayloadStep,
        ]
      : []),
  ];
}

function arm({ config, image, boot, way }: WindowsOrdering, place: PayloadPartition): Step {
  if (way.kind === 'boot-next') {
    // The name of the new system's own entry, which stage 2 then writes in its place.
    const filePath = loaderPath.replaceAll('/', '\\');
    return { kind: 'set-uefi-boot-next', id: 'arm-boot-next', description: bootEntryName, place, filePath };
  }
  return {
    kind: 'replace-windows-boot-manager',
    id: 'arm-boot-manager',
    esp: way.esp,
    loader: boot.loader.path,
    place,
    start: startOf(config),
    variable: variableOf(digestOf(image)),
  };
}

function startOf({ migrate }: Config) {
  return { kernel: kernelPath, initramfs: initramfsPath, commandLine: stage2CommandLine('', migrate.kernelOptions) };
}

/** Named by the image, so that an environment of an earlier migration is never taken for this one. */
function variableOf(digest: string): { readonly name: string; readonly value: string } {
  return { name: oneShotName, value: `balena-migrate-${digest.slice(0, 12)}` };
}
