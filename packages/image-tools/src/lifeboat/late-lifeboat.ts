// A lifeboat that stage 2 makes on the bare disk, over blocks that only files of the old system have which nobody needs any more. Its
// place follows from the old file system alone, which nobody writes to then: a stage 2 that was cut finds the same one again.
import { createHash } from 'node:crypto';
import {
  type ByteReader,
  type Emit,
  type Host,
  type LifeboatRecord,
  MigrateError,
  parseLifeboatSeal,
  readExactly,
  type StepOf,
  type TreeEntry,
  windowOf,
} from '@migrate/core';
import { type Ext4Volume, openExt4 } from '../ext4/ext4-reader.ts';
import { eachChunk } from './each-chunk.ts';
import { type LifeboatRequest, type LifeboatWay, regionAlignBytes } from './lifeboat-contents.ts';
import { changedSource, type LifeboatSource, textSource } from './lifeboat-sources.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { chooseRegion, mostLoosePieces, type Region } from './reserve-region.ts';
import { layOutSources, looseBytesOf, volumeTime, writeLifeboat } from './write-lifeboat.ts';

type Description = StepOf<'find-lifeboat-place'>;

/** Shorter pieces are not worth the memory that a list of them may take. */
const leastPieceBytes = 256 * 1024;
/** Boot loaders and the seal are small. */
const smallFileLimitBytes = 4 * 1024 * 1024;

export interface LateLifeboatRequest {
  readonly host: Host;
  readonly emit: Emit;
  readonly diskPath: string;
  readonly diskBytes: number;
  readonly planId: string;
  readonly description: Description;
}

/**
 * What will be known of the lifeboat before it is made. Throws `no-space` where the disk has no room for it, and what reading throws
 * or `verify-mismatch` where a part of it is not what stage 1 has sealed.
 */
export async function findLatePlace(request: LateLifeboatRequest): Promise<Omit<LifeboatRecord, 'pieces'>> {
  return withPlace(request, async ({ region, sources, layout }) => {
    await proveSources(sources.files, request.emit);
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
    const hashOf = await readSeal(volume, request);
    const sources = {
      files: await Promise.all(description.files.map((file) => sourceIn(volume, file, hashOf))),
      // The image and the backup are proven by steps of their own.
      data: await Promise.all(description.data.map((file) => sourceIn(volume, file, () => undefined))),
    };
    const layout = await layoutOf(volume, request, hashOf);
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

/** Lower-case hex, of a file by its path in the old file system. */
type HashOf = (path: string) => string | undefined;

/** Throws `verify-mismatch` for a file that stage 1 did not seal. */
async function readSeal(
  volume: Ext4Volume,
  { description: { sealPath }, planId }: LateLifeboatRequest,
): Promise<HashOf> {
  const { files } = parseLifeboatSeal(await readWhole(volume, sealPath), planId);
  const sealed = new Map(files.map(({ path, sha256 }) => [path, sha256]));
  return (path) => {
    const sha256 = sealed.get(path);
    if (sha256 === undefined) throw new MigrateError('verify-mismatch', `stage 1 has not sealed ${path}`);
    return sha256;
  };
}

async function sourceIn(
  volume: Ext4Volume,
  file: Description['data'][number],
  hashOf: HashOf,
): Promise<LifeboatSource> {
  const { path } = file;
  if ('text' in file) return textSource(file);
  const entry = await fileAt(volume, file.from);
  const sha256 = file.sha256 ?? hashOf(file.from);
  return {
    path,
    sizeBytes: entry.sizeBytes,
    ...(sha256 === undefined ? {} : { sha256 }),
    open: async () => volume.open(entry),
  };
}

async function proveSources(sources: readonly LifeboatSource[], emit: Emit): Promise<void> {
  const total = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  for (const { path, sizeBytes, sha256, open } of sources) {
    const hash = createHash('sha256');
    const reader = await open();
    try {
      await eachChunk(reader, sizeBytes, async (bytes) => {
        hash.update(bytes);
        done += bytes.length;
        emit({ kind: 'progress', text: 'proving the parts of the lifeboat', done, total, unit: 'bytes' });
      });
    } finally {
      await reader.close();
    }
    if (sha256 !== undefined && hash.digest('hex') !== sha256) throw changedSource(path);
  }
}

/** Of small files alone. */
async function readWhole(volume: Ext4Volume, path: string): Promise<Uint8Array> {
  const entry = await fileAt(volume, path);
  const bytes =
    entry.sizeBytes > smallFileLimitBytes ? undefined : await readExactly(volume.open(entry), 0, entry.sizeBytes);
  if (bytes === undefined)
    throw new MigrateError('read-failed', `${path} has ${entry.sizeBytes} bytes and cannot be read`);
  return bytes;
}

async function layoutOf(
  volume: Ext4Volume,
  { description: { way, serial }, diskBytes }: LateLifeboatRequest,
  hashOf: HashOf,
): Promise<Place['layout']> {
  const whole = async (path: string): Promise<Uint8Array> => {
    const bytes = await readWhole(volume, path);
    if (createHash('sha256').update(bytes).digest('hex') !== hashOf(path)) throw changedSource(path);
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
