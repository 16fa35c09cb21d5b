// Makes a lifeboat on the living system: reserves its place through the file system, fills it there, and reads it back from the
// disk itself.
import type { Host, LifeboatRecord } from '@migrate/core';
import { regionAlignBytes } from './lifeboat-contents.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { type RegionPrograms, reserveRegion } from './reserve-region.ts';
import { layOutSources, looseBytesOf, type WriteLifeboatRequest, writeLifeboat } from './write-lifeboat.ts';

export interface MakeLifeboatRequest extends Omit<WriteLifeboatRequest, 'file' | 'region'> {
  readonly host: Host;
  /** The file that holds its place in the file system; it must not exist. */
  readonly path: string;
  /** The disk that it will be booted from. */
  readonly diskPath: string;
  /** The lifeboat lies behind this byte of the disk. */
  readonly fromByte: number;
  readonly reserveBytes: number;
  readonly programs: RegionPrograms;
}

/**
 * Returns where the lifeboat lies; it is durable and was read back from the disk then. Throws `no-space` where the file system
 * has no room for it, its volume in one piece, `verify-mismatch` where the disk holds something else. The file is the caller's to remove.
 */
export async function makeLifeboat(request: MakeLifeboatRequest): Promise<LifeboatRecord> {
  const { host, path, data, fileSystemStartByte, fromByte, diskPath, planId } = request;
  const region = await reserveRegion({
    ...request,
    sizeBytes: layOutSources(request).sizeBytes,
    looseBytes: looseBytesOf(data),
    fromByte: Math.max(0, fromByte - fileSystemStartByte),
    // Partitions begin at multiples of it, but for very old ones.
    alignBytes: regionAlignBytes,
  });
  const file = await host.openWrite(path);
  let startByte: number;
  try {
    ({ startByte } = await writeLifeboat({ ...request, file, region }));
  } finally {
    await file.close();
  }
  await host.dropCaches();
  const disk = await host.openRead(diskPath);
  try {
    return await proveLifeboat(disk, { startByte, planId }, request.emit);
  } finally {
    await disk.close();
  }
}
