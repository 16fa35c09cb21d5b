// The steps that a lifeboat adds. Windows does not tell where on the disk a file lies, so stage 1 reserves its place on the payload's
// partition and stage 2 makes it there, while everything still boots Windows.
import {
  type CopiedFile,
  filesOf,
  type LifeboatFile,
  leaveLifeboat,
  lifeboatEntry,
  lifeboatPaths,
  type PayloadFile,
  type PayloadStep,
  packPayload,
  type RuntimeAsset,
  runtimeFileBytes,
  type Stage2Ordering,
  type TargetImage,
  volumeOverheadBytes,
} from '@migrate/core';
import type { Room } from './find-room.ts';
import { initramfsPath, kernelPath, lifeboatFiles, payloadDirectory, payloadFiles } from './payload-paths.ts';
import type { WindowsLifeboatStaging } from './plan-payload.ts';

export interface WindowsLifeboat {
  readonly serial: string;
  /** When all that goes into it is on the payload's partition. */
  readonly stage1: readonly PayloadStep[];
  readonly stage2: NonNullable<Stage2Ordering['lifeboat']>;
}

const packedPath = `${lifeboatFiles}/payload.img`;
const reservedPath = `${lifeboatFiles}/volume.img`;
const sealPath = `${lifeboatFiles}/seal.json`;

export function orderWindowsLifeboat({
  staging,
  room,
  image,
  runtime,
  payload,
}: {
  readonly staging: WindowsLifeboatStaging;
  readonly room: Room;
  readonly image: TargetImage;
  /** All that the bundle has, and what of it stage 2 needs. */
  readonly runtime: { readonly all: RuntimeAsset; readonly needed: RuntimeAsset };
  /** What stage 2 reads beside the image. */
  readonly payload: readonly PayloadFile[];
}): WindowsLifeboat {
  const { serial, sizeBytes, way, fileSystemStartByte, fromByte } = staging;
  const loaders = loadersOf(staging.boot.files, runtime.all);
  const sources = [
    { path: lifeboatPaths.kernel, from: kernelPath },
    { path: lifeboatPaths.initramfs, from: initramfsPath },
    { path: lifeboatPaths.payload, from: packedPath },
    ...loaders.map(({ path, copied }) => ({ path, from: copied.to })),
  ];
  const packed = [
    // Windows does not tell which of them are programs.
    ...runtime.needed.files.map(({ path }) => ({ path, mode: 0o700 })),
    ...payload.map(({ name }) => ({ path: `files/${name}`, mode: 0o600 })),
    { path: 'plan.json', mode: 0o600 },
  ];
  return {
    serial,
    stage1: [
      { kind: 'copy-files', id: 'copy-lifeboat-loader', files: loaders.map(({ copied }) => copied) },
      packPayload({
        path: packedPath,
        directory: payloadDirectory,
        payload: packed.map(({ path, mode }) => ({ path: `${payloadDirectory}/${path}`, mode })),
      }),
      {
        kind: 'reserve-lifeboat',
        id: 'reserve-lifeboat',
        path: reservedPath,
        sizeBytes,
        sources,
        limitBytes: sizeBytes - volumeOverheadBytes,
        sealPath,
      },
    ],
    stage2: {
      fill: {
        kind: 'fill-lifeboat',
        id: 'fill-lifeboat',
        path: reservedPath,
        sealPath,
        ...{ fileSystemStartByte, partitionBytes: room.sizeBytes, fromByte, serial, way },
        files: [...sources, ...staging.boot.files.filter((file) => 'text' in file)],
        data: filesOf(image).map(({ payload: name }) => ({ path: name, from: `${payloadFiles}/${name}` })),
        secrets: [packedPath, ...payload.map(({ pathInFileSystem }) => pathInFileSystem)],
      },
      entries: lifeboatEntry(staging),
      leave: leaveLifeboat(staging, { hasBackup: false }),
    },
  };
}

/** Boot loaders of the bundle by their paths in the lifeboat, and how each gets beside the kernel. */
function loadersOf(
  files: readonly LifeboatFile[],
  runtime: RuntimeAsset,
): readonly { readonly path: string; readonly copied: CopiedFile }[] {
  return files.flatMap((file) => {
    if (!('from' in file)) return [];
    const { path, from } = file;
    const to = `${lifeboatFiles}/${path.slice(path.lastIndexOf('/') + 1)}`;
    return [{ path, copied: { from, to, mode: 0o600, sizeBytes: runtimeFileBytes(runtime, from) } }];
  });
}
