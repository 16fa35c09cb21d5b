// A lifeboat that stage 2 makes on the bare disk, over blocks that only files of the old system have which nobody needs any more. Its
// place follows from the old file system alone, which nobody writes to then: a stage 2 that was cut finds the same one again.
import {
  type ByteReader,
  type Emit,
  type Host,
  type LifeboatRecord,
  MigrateError,
  readExactly,
  type StepOf,
  type TreeEntry,
  windowOf,
} from '@migrate/core';
import { type Ext4Volume, openExt4 } from '../ext4/ext4-reader.ts';
import { type LifeboatRequest, type LifeboatWay, regionAlignBytes } from './lifeboat-contents.ts';
import { type LifeboatSource, textSource } from './lifeboat-sources.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { chooseRegion, mostLoosePieces, type Region } from './reserve-region.ts';
import { layOutSources, looseBytesOf, volumeTime, writeLifeboat } from './write-lifeboat.ts';

type Description = StepOf<'find-lifeboat-place'>;

/** Shorter pieces are not worth the memory that a list of them may take. */
const leastPieceBytes = 256 * 1024;
/** Boot loaders are small. */
const loaderLimitBytes = 4 * 1024 * 1024;

export interface LateLifeboatRequest {
  readonly host: Host;
  readonly emit: Emit;
  readonly diskPath: string;
  readonly diskBytes: number;
  readonly planId: string;
  readonly description: Description;
}

/** What will be known of the lifeboat before it is made. Throws `no-space` where the disk has no room for it. */
export async function findLatePlace(request: LateLifeboatRequest): Promise<Omit<LifeboatRecord, 'pieces'>> {
  return withPlace(request, async ({ region, sources, layout }) => {
    const contents = layOutSources({ ...sources, layout });
    const { startByte } = region.whole;
    return { planId: request.planId, startByte, sizeBytes: contents.sizeBytes, ...contents.wayRecord(startByte) };
  });
}

/** Makes it; it is durable and was read back from the disk when this returns. */
export async function makeLateLifeboat(request: LateLifeboatRequest): Promise<LifeboatRecord> {
  const { host, emit, diskPath, planId } = request;
  return withPlace(request, async ({ reader, region, sources, layout }) => {
    const file = await host.openDisk(diskPath);
    try {
      await writeLifeboat({ ...sources, emit, planId, file, region, layout, fileSystemStartByte: 0 });
    } finally {
      await file.close();
    }
    await host.dropCaches();
    return proveLifeboat(reader, { startByte: region.whole.startByte, planId }, emit);
  });
}

/** A file system on a disk, and the places of its parts on that disk. */
export async function openOldFileSystem(
  reader: ByteReader,
  { startByte, sizeBytes }: Description['fileSystem'],
): Promise<Ext4Volume> {
  return openExt4(windowOf(reader, startByte, sizeBytes));
}

export async function fileAt(volume: Ext4Volume, path: string): Promise<TreeEntry> {
  const entry = await volume.find(path);
  if (entry?.kind !== 'file') throw new MigrateError('not-found', `the old file system has no file ${path}`);
  return entry;
}

interface Place {
  readonly reader: ByteReader;
  /** On the disk. */
  readonly region: Region;
  readonly sources: { readonly files: readonly LifeboatSource[]; readonly data: readonly LifeboatSource[] };
  readonly layout: Omit<LifeboatRequest, 'files'>;
}

async function withPlace<T>(request: LateLifeboatRequest, action: (place: Place) => Promise<T>): Promise<T> {
  const { host, diskPath, description } = request;
  // The kernel may remember blocks as they were before the old file system was mounted or written past it.
  await host.dropCaches();
  const reader = await host.openRead(diskPath);
  try {
    const volume = await openOldFileSystem(reader, description.fileSystem);
    const sources = {
      files: await Promise.all(description.files.map((file) => sourceIn(volume, file))),
      data: await Promise.all(description.data.map((file) => sourceIn(volume, file))),
    };
    const layout = await layoutOf(volume, request);
    const region = await regionIn(volume, description, { sources, layout });
    return await action({ reader, region, sources, layout });
  } finally {
    await reader.close();
  }
}

async function regionIn(
  volume: Ext4Volume,
  { fileSystem, fromByte, toByte, keeps }: Description,
  { sources, layout }: Pick<Place, 'sources' | 'layout'>,
): Promise<Region> {
  const { startByte: begin } = fileSystem;
  const ranges = await volume.replaceableRanges({
    keeps,
    startByte: Math.max(0, fromByte - begin),
    endByte: toByte - begin,
    leastBytes: leastPieceBytes,
  });
  const sizeBytes = layOutSources({ ...sources, layout }).sizeBytes;
  const looseBytes = looseBytesOf(sources.data);
  const region = chooseRegion(
    ranges.map(({ startByte, endByte }) => ({
      fileByte: begin + startByte,
      startByte: begin + startByte,
      sizeBytes: endByte - startByte,
    })),
    { sizeBytes, looseBytes, fromByte, alignBytes: regionAlignBytes },
  );
  if (region !== undefined) return region;
  throw new MigrateError(
    'no-space',
    `behind byte ${fromByte} of the disk nothing has room for a lifeboat without hurting what boots it: ${sizeBytes} bytes in one piece and ${looseBytes} in at most ${mostLoosePieces}`,
  );
}

async function sourceIn(volume: Ext4Volume, file: Description['data'][number]): Promise<LifeboatSource> {
  const { path } = file;
  if ('text' in file) return textSource(file);
  const entry = await fileAt(volume, file.from);
  return {
    path,
    sizeBytes: entry.sizeBytes,
    ...(file.sha256 === undefined ? {} : { sha256: file.sha256 }),
    open: async () => volume.open(entry),
  };
}

async function layoutOf(
  volume: Ext4Volume,
  { description: { way, serial }, diskBytes }: LateLifeboatRequest,
): Promise<Place['layout']> {
  const whole = async (path: string): Promise<Uint8Array> => {
    const entry = await fileAt(volume, path);
    const bytes =
      entry.sizeBytes > loaderLimitBytes ? undefined : await readExactly(volume.open(entry), 0, entry.sizeBytes);
    if (bytes === undefined)
      throw new MigrateError('read-failed', `${path} has ${entry.sizeBytes} bytes and cannot be read`);
    return bytes;
  };
  const tableId = way.kind === 'gpt' ? way.diskGuid : way.diskId;
  return { way: await placedWay(way, whole), serial, time: volumeTime, disk: { sizeBytes: diskBytes, tableId } };
}

async function placedWay(way: Description['way'], whole: (path: string) => Promise<Uint8Array>): Promise<LifeboatWay> {
  switch (way.kind) {
    case 'mbr':
      return { kind: 'mbr', bootImage: await whole(way.bootImage), coreImage: await whole(way.coreImage) };
    case 'gpt':
      return { kind: 'gpt', partitionGuid: way.partitionGuid };
    case 'partition':
      return { kind: 'partition' };
  }
}
