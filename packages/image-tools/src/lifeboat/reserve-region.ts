// Takes pieces of a disk for ourselves on the living system, by its own file system: a file is preallocated, and all of it but those
// pieces is given back.
import { doing, type Host, MigrateError } from '@migrate/core';
import { type Extent, findPieces, findRun, holds, parseExtents } from './file-extents.ts';

export interface RegionRequest {
  readonly host: Host;
  /** The file to be made; it must not exist. */
  readonly path: string;
  /** Size of the piece that must be one, a multiple of `alignBytes`. */
  readonly sizeBytes: number;
  /** Bytes that may lie in several pieces, a multiple of `looseAlignBytes`. */
  readonly looseBytes: number;
  /** All pieces lie behind this byte of the file system. */
  readonly fromByte: number;
  readonly alignBytes: number;
  /** The running system is left so much free space at any moment. */
  readonly reserveBytes: number;
  readonly programs: RegionPrograms;
}

/** Argument arrays that start the programs, which old systems may lack or have too old. */
export interface RegionPrograms {
  readonly fallocate: readonly string[];
  readonly filefrag: readonly string[];
}

export interface Region {
  readonly whole: Extent;
  /** `looseBytes` in all, in the order of the file, each a multiple of `looseAlignBytes`. */
  readonly loose: readonly Extent[];
}

const longestMs = 600_000;
/** A multiple of the blocks of all file systems that are used on such devices. */
export const looseAlignBytes = 4096;
/** As many as the record has room for. */
export const mostLoosePieces = 16;

/**
 * Makes the file and returns where the pieces lie in it and in the file system. The file is as if empty elsewhere. Throws
 * `no-space` where there are no such pieces; the file is the caller's to remove then.
 */
export async function reserveRegion(request: RegionRequest): Promise<Region> {
  const { host, path, sizeBytes, looseBytes } = request;
  await host.createExclusive(path, new Uint8Array(), 0o600);
  const { region, allocatedBytes } = await doing(
    `reserving ${sizeBytes + looseBytes} bytes in ${path}`,
    'write-failed',
    () => grow(request),
  );
  const kept = [region.whole, ...region.loose].sort((a, b) => a.fileByte - b.fileByte);
  let position = 0;
  for (const { fileByte, sizeBytes: length } of kept) {
    await punch(request, position, fileByte);
    position = fileByte + length;
  }
  await punch(request, position, allocatedBytes);
  const extents = await extentsOf(request);
  if (!kept.every((piece) => holds(extents, piece)))
    throw new MigrateError('write-failed', `${path} has moved while it was made`);
  return region;
}

/** Allocates more and more until the pieces are among it. */
async function grow(request: RegionRequest): Promise<{ region: Region; allocatedBytes: number }> {
  const { host, path, sizeBytes, looseBytes, fromByte, alignBytes, reserveBytes, programs } = request;
  // One run of so many bytes holds all pieces, wherever it begins.
  const firstBytes = sizeBytes + looseBytes + alignBytes;
  for (let allocatedBytes = 0; ; ) {
    const stepBytes = allocatedBytes === 0 ? firstBytes : sizeBytes;
    const { availableBytes } = await host.freeSpace(path);
    if (availableBytes < stepBytes + reserveBytes) {
      throw new MigrateError(
        'no-space',
        `behind byte ${fromByte} the file system has not ${sizeBytes} free bytes in one piece and ${looseBytes} in at most ${mostLoosePieces}; set migrate.staging to late-lifeboat, or to ram`,
      );
    }
    const place = ['--offset', String(allocatedBytes), '--length', String(stepBytes)];
    await runProgram(host, programs.fallocate, [...place, path]);
    allocatedBytes += stepBytes;
    const region = chooseRegion(await extentsOf(request), request);
    if (region !== undefined) return { region, allocatedBytes };
  }
}

/** The pieces among what is there; undefined where there are none. */
export function chooseRegion(
  extents: readonly Extent[],
  request: Pick<RegionRequest, 'sizeBytes' | 'looseBytes' | 'fromByte' | 'alignBytes'>,
): Region | undefined {
  const whole = findRun(extents, request);
  if (whole === undefined) return undefined;
  const loose = findPieces(extents, {
    sizeBytes: request.looseBytes,
    fromByte: request.fromByte,
    alignBytes: looseAlignBytes,
    taken: whole,
    most: mostLoosePieces,
  });
  return loose === undefined ? undefined : { whole, loose };
}

async function punch({ host, path, programs }: RegionRequest, startByte: number, endByte: number): Promise<void> {
  if (endByte <= startByte) return;
  const place = ['--offset', String(startByte), '--length', String(endByte - startByte)];
  await runProgram(host, programs.fallocate, ['--punch-hole', ...place, path]);
}

async function extentsOf({ host, path, programs }: RegionRequest): Promise<readonly Extent[]> {
  return parseExtents(await runProgram(host, programs.filefrag, ['-s', '-v', path]));
}

async function runProgram(host: Host, program: readonly string[], args: readonly string[]): Promise<string> {
  const [command, ...before] = program;
  if (command === undefined) throw new Error('a program without a name');
  return (await host.run(command, [...before, ...args], { timeoutMs: longestMs })).stdout;
}
