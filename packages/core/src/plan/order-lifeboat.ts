// The steps of both stages that a lifeboat adds.
import { filesOf, type TargetImage } from '../assets/image.ts';
import { spaceReserveBytes } from './budget.ts';
import { type LateLifeboat, type LifeboatStaging, lifeboatDirectory, lifeboatPaths } from './choose-staging.ts';
import { backupName, filesDirectory } from './lay-out-payload.ts';
import type { LifeboatFile, LifeboatWay, PayloadFile, PlainLifeboatFile, Step, StepOf } from './plan.ts';
import { stateDirectory } from './state-directory.ts';

/** In the payload directory: hashes of what stage 2 makes a lifeboat of. */
const lateSealName = 'lifeboat-seal.json';
const payloadDirectory = `${stateDirectory}/payload`;
/** Where init of stage 2 finds the payload, whatever brought it there. */
const payloadInInitramfs = 'migrate/payload';
/** In the payload directory: where on the disk the lifeboat begins. */
export const lifeboatPlaceName = 'lifeboat.json';
const packedPath = `${payloadDirectory}/${lifeboatPaths.payload}`;
/** In the payload directory: boot loaders for a lifeboat that stage 2 makes. */
const loaderName = 'lifeboat';
const loaderDirectory = `${payloadDirectory}/${loaderName}`;

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
export function orderLifeboat(ordering: LifeboatOrdering): readonly Step[] {
  const { staging, initramfsPath, kernelPath, image, hasBackup, bundleDirectory } = ordering;
  const files: readonly LifeboatFile[] = [
    ...(staging.boot.firstFiles ?? []),
    staging.boot.kernel ?? { path: lifeboatPaths.kernel, from: kernelPath },
    ...(staging.boot.initramfs === undefined
      ? [
          { path: lifeboatPaths.initramfs, from: initramfsPath },
          { path: lifeboatPaths.payload, from: packedPath },
        ]
      : [{ path: staging.boot.initramfs, archives: [initramfsPath, packedPath] }]),
    ...staging.boot.files,
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
    packLinuxPayload(ordering),
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

export interface PayloadPacking {
  readonly path: string;
  /** With the payload's files, which have the same places below the payload directory of stage 2. */
  readonly directory: string;
  readonly payload: readonly { readonly path: string; readonly mode: number }[];
}

/** What stage 2 needs beside the image, for a lifeboat that is made now or later. */
export function packPayload({ path, directory, payload }: PayloadPacking): StepOf<'pack-payload'> {
  return {
    kind: 'pack-payload',
    id: 'pack-payload',
    path,
    files: payload.map((file) => ({
      from: file.path,
      to: `${payloadInInitramfs}${file.path.slice(directory.length)}`,
      mode: file.mode,
    })),
  };
}

/** The same on Linux. */
export function packLinuxPayload({ payload }: Pick<LifeboatOrdering, 'payload'>): Step {
  return packPayload({ path: packedPath, directory: payloadDirectory, payload });
}

/** Boot loaders for a lifeboat that stage 2 makes, which finds nothing of the bundle but what lies in the payload directory. */
export function lateLoaders({
  way,
  boot,
  late,
}: LifeboatStaging): readonly { readonly from: string; readonly to: string }[] {
  if (late === undefined) return [];
  const paths = [
    ...(way.kind === 'mbr' ? [way.bootImage, way.coreImage] : []),
    ...boot.files.flatMap((file) => ('from' in file ? [file.from] : [])),
  ];
  return paths.map((from) => ({ from, to: `${loaderDirectory}/${baseName(from)}` }));
}

export interface LateSources {
  readonly staging: LifeboatStaging;
  readonly late: LateLifeboat;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** The state directory in its file system. */
  readonly statePath: string;
}

/** The last step before arming: stage 2 gives the old system up only when all of this is as it was then. */
export function sealLateLifeboat(sources: LateSources): Step {
  const { kernel, initramfs, payload, loader } = placesOf(sources);
  const { kernelPath, initramfsPath } = sources;
  return {
    kind: 'seal-lifeboat',
    id: 'seal-lifeboat',
    path: `${payloadDirectory}/${lateSealName}`,
    sources: [
      { path: kernel, from: kernelPath },
      { path: initramfs, from: initramfsPath },
      { path: `${payload}/${lifeboatPaths.payload}`, from: packedPath },
      ...lateLoaders(sources.staging).map(({ from, to }) => ({ path: loader(from), from: to })),
    ],
  };
}

/** Where stage 2 finds what a lifeboat is made of, in the old file system. */
function placesOf({ late: { startsAlways }, kernelPath, initramfsPath, statePath }: LateSources) {
  const found = (path: string): string => {
    const place = startsAlways.pathInFileSystem(path);
    if (place === undefined) throw new Error(`${path} does not lie where the lifeboat is made from`);
    return place;
  };
  const payload = `${statePath}/payload`;
  return {
    kernel: found(kernelPath),
    initramfs: found(initramfsPath),
    payload,
    loader: (path: string): string => `${payload}/${loaderName}/${baseName(path)}`,
  };
}

export interface LateOrdering extends LateSources {
  /** The files of the image, where they lie in that file system. */
  readonly images: readonly PayloadFile[];
  readonly hasBackup: boolean;
}

/** Where stage 2 makes a lifeboat, and the step after which the old system does not start again. */
export function orderLateLifeboat(ordering: LateOrdering): { readonly find: Step; readonly rearm: Step } {
  const { staging, late, statePath, images, hasBackup } = ordering;
  const { startsAlways, fileSystemBytes, toByte } = late;
  const fileSystem = { startByte: staging.fileSystemStartByte, sizeBytes: fileSystemBytes };
  const { kernel, initramfs, payload, loader } = placesOf(ordering);
  const { way } = staging;
  const placedWay: LifeboatWay =
    way.kind === 'mbr' ? { ...way, bootImage: loader(way.bootImage), coreImage: loader(way.coreImage) } : way;
  const { required, optional } = startsAlways.keeps;
  return {
    find: {
      kind: 'find-lifeboat-place',
      id: 'find-lifeboat-place',
      fileSystem,
      fromByte: staging.fromByte,
      toByte,
      serial: staging.serial,
      way: placedWay,
      files: [
        { path: lifeboatPaths.kernel, from: kernel },
        { path: lifeboatPaths.initramfs, from: initramfs },
        { path: lifeboatPaths.payload, from: `${payload}/${lifeboatPaths.payload}` },
        ...staging.boot.files.map((file) => besidePayload(file, loader)),
      ],
      data: [
        ...images.map(({ name, pathInFileSystem, sha256 }) => ({ path: name, from: pathInFileSystem, sha256 })),
        ...(hasBackup ? [{ path: backupName, from: `${payload}/files/${backupName}` }] : []),
      ],
      sealPath: `${payload}/${lateSealName}`,
      keeps: {
        required: [
          statePath,
          ...images.map(({ pathInFileSystem }) => pathInFileSystem),
          kernel,
          initramfs,
          ...required,
        ],
        optional,
      },
    },
    rearm: { ...startsAlways.step, fileSystem },
  };
}

/** A file of the bundle, where a copy of it lies then. */
function besidePayload(file: LifeboatFile, loader: (path: string) => string): PlainLifeboatFile {
  if ('from' in file) return { ...file, from: loader(file.from) };
  if ('text' in file) return file;
  throw new Error(`${file.path} is no file that stage 2 can place`);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
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
