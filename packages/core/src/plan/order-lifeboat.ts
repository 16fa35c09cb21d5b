// The steps of both stages that a lifeboat adds.
import { filesOf, type TargetImage } from '../assets/image.ts';
import { spaceReserveBytes } from './budget.ts';
import { type LifeboatStaging, lifeboatDirectory, lifeboatPaths } from './choose-staging.ts';
import { backupName, filesDirectory } from './lay-out-payload.ts';
import type { LifeboatFile, Step } from './plan.ts';
import { stateDirectory } from './state-directory.ts';

const payloadDirectory = `${stateDirectory}/payload`;
/** Where init of stage 2 finds the payload, whatever brought it there. */
const payloadInInitramfs = 'migrate/payload';
/** In the payload directory: where on the disk the lifeboat begins. */
export const lifeboatPlaceName = 'lifeboat.json';

export interface LifeboatOrdering {
  readonly staging: LifeboatStaging;
  readonly initramfsPath: string;
  readonly kernelPath: string;
  /** Files below the payload directory. */
  readonly payload: readonly { readonly path: string; readonly mode: number }[];
  readonly image: TargetImage;
  readonly hasBackup: boolean;
  readonly bundleDirectory: string;
}

/** Before arming, when all that goes into it is there. */
export function orderLifeboat({
  staging,
  initramfsPath,
  kernelPath,
  payload,
  image,
  hasBackup,
  bundleDirectory,
}: LifeboatOrdering): readonly Step[] {
  const packed = `${payloadDirectory}/${lifeboatPaths.payload}`;
  const files: readonly LifeboatFile[] = [
    // First, since a ROM may not look further than the first entries of the root directory.
    ...staging.boot.files,
    staging.boot.kernel ?? { path: lifeboatPaths.kernel, from: kernelPath },
    ...(staging.boot.initramfs === undefined
      ? [
          { path: lifeboatPaths.initramfs, from: initramfsPath },
          { path: lifeboatPaths.payload, from: packed },
        ]
      : [{ path: staging.boot.initramfs, archives: [initramfsPath, packed] }]),
  ];
  const data: readonly LifeboatFile[] = [
    ...filesOf(image).map((file) => ({ path: file.payload, from: file.path })),
    ...(hasBackup ? [{ path: backupName, from: `${filesDirectory}/${backupName}` }] : []),
  ];
  const runtime = `${bundleDirectory}/runtime`;
  const program = (name: string): readonly string[] => [
    `${runtime}/ld.so`,
    '--library-path',
    `${runtime}/lib:${runtime}/file-systems/lib`,
    `${bundleDirectory}/${lifeboatDirectory}/${name}`,
  ];
  return [
    {
      kind: 'pack-payload',
      id: 'pack-payload',
      path: packed,
      files: payload.map(({ path, mode }) => ({
        from: path,
        to: `${payloadInInitramfs}${path.slice(payloadDirectory.length)}`,
        mode,
      })),
    },
    {
      kind: 'make-lifeboat',
      id: 'make-lifeboat',
      path: `${stateDirectory}/lifeboat`,
      placePath: `${payloadDirectory}/${lifeboatPlaceName}`,
      fileSystemStartByte: staging.fileSystemStartByte,
      fromByte: staging.fromByte,
      reserveBytes: spaceReserveBytes,
      serial: staging.serial,
      way: staging.way,
      files,
      data,
      programs: { fallocate: program('fallocate'), filefrag: program('filefrag') },
    },
  ];
}

/** UEFI: the entry by which the firmware finds it; before that of the new system, which goes before it in the boot order. */
export function lifeboatEntry({ boot }: LifeboatStaging): readonly Step[] {
  if (boot.entry === undefined) return [];
  return [{ kind: 'set-uefi-boot-entry', id: 'set-lifeboat-boot-entry', ...boot.entry }];
}

/** When the new system boots. */
export function leaveLifeboat({ boot }: LifeboatStaging, { hasBackup }: { hasBackup: boolean }): Step {
  return {
    kind: 'leave-lifeboat',
    id: 'leave-lifeboat',
    secrets: [boot.initramfs ?? lifeboatPaths.payload, ...(hasBackup ? [backupName] : [])],
    ...(boot.entry === undefined ? {} : { bootEntry: boot.entry.description }),
  };
}
