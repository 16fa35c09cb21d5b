// Takes a contiguous piece of a disk for ourselves on the living system, by its own file system: a file is preallocated, and all
// of it but the piece is given back.
import { doing, type Host, MigrateError } from '@migrate/core';
import { type Extent, findRun, parseExtents } from './file-extents.ts';

export interface RegionRequest {
  readonly host: Host;
  /** The file to be made; it must not exist. */
  readonly path: string;
  /** Size of the piece, a multiple of `alignBytes`. */
  readonly sizeBytes: number;
  /** The piece lies behind this byte of the file system. */
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

const longestMs = 600_000;

/**
 * Makes the file and returns where the piece lies in it and in the file system. The file is as if empty elsewhere. Throws
 * `no-space` where no such piece can be had; the file is the caller's to remove then.
 */
export async function reserveRegion(request: RegionRequest): Promise<Extent> {
  const { host, path, sizeBytes, alignBytes } = request;
  await host.createExclusive(path, new Uint8Array(), 0o600);
  const { place, allocatedBytes } = await doing(`reserving ${sizeBytes} bytes in ${path}`, 'write-failed', () =>
    grow(request),
  );
  const endByte = place.fileByte + sizeBytes;
  await punch(request, 0, place.fileByte);
  await punch(request, endByte, allocatedBytes);
  const kept = findRun(await extentsOf(request), { sizeBytes, fromByte: place.startByte, alignBytes });
  if (kept?.startByte !== place.startByte || kept.fileByte !== place.fileByte)
    throw new MigrateError('write-failed', `${path} has moved while it was made`);
  return place;
}

/** Allocates piece after piece until one fits. */
async function grow(request: RegionRequest): Promise<{ place: Extent; allocatedBytes: number }> {
  const { host, path, sizeBytes, reserveBytes, programs } = request;
  const stepBytes = sizeBytes;
  for (let allocatedBytes = 0; ; ) {
    const { availableBytes } = await host.freeSpace(path);
    if (availableBytes < stepBytes + reserveBytes) {
      throw new MigrateError(
        'no-space',
        `the file system has no free ${sizeBytes} bytes in one piece behind byte ${request.fromByte}`,
      );
    }
    const place = ['--offset', String(allocatedBytes), '--length', String(stepBytes)];
    await runProgram(host, programs.fallocate, [...place, path]);
    allocatedBytes += stepBytes;
    const found = findRun(await extentsOf(request), request);
    if (found !== undefined) return { place: found, allocatedBytes };
  }
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
