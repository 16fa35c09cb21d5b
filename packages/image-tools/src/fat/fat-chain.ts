// Files and directories as chains of clusters.
import type { ByteRange, ByteReader } from '@migrate/core';
import { checkCluster, clusterStart, damaged, type FatGeometry } from './fat-geometry.ts';
import type { FatTable } from './fat-table.ts';

export interface FatChain {
  readonly reader: ByteReader;
  readonly geometry: FatGeometry;
  readonly table: FatTable;
  readonly firstCluster: number;
}

/** A place in a chain. */
interface Cursor {
  /** Number of the cluster in its chain, from 0. */
  readonly index: number;
  readonly cluster: number;
  /** The cluster at the last index that was a power of two; a chain that comes back to it is a circle (Brent, 1980). */
  readonly mark: number;
}

function startOfChain({ geometry, firstCluster }: FatChain): Cursor {
  checkCluster(geometry, firstCluster);
  return { index: 0, cluster: firstCluster, mark: firstCluster };
}

/** The next place; undefined at the end. Throws `invalid-input` for a broken chain and, after at most three rounds, a circle. */
async function step({ table }: FatChain, { index, cluster, mark }: Cursor): Promise<Cursor | undefined> {
  const next = await table.next(cluster);
  if (next === undefined) return undefined;
  if (next === mark) throw damaged(`a chain runs in a circle at cluster ${next}`);
  const isPowerOfTwo = ((index + 1) & index) === 0;
  return { index: index + 1, cluster: next, mark: isPowerOfTwo ? next : mark };
}

/**
 * Numbers of the clusters of a chain, in its order. Throws `invalid-input` for a chain that is broken, runs in a circle, or is
 * longer than `limit`.
 */
export async function chainClusters(chain: FatChain, limit: number): Promise<readonly number[]> {
  const clusters: number[] = [];
  for (let at: Cursor | undefined = startOfChain(chain); at !== undefined; at = await step(chain, at)) {
    if (clusters.length >= limit) throw damaged(`the chain from cluster ${chain.firstCluster} does not end`);
    clusters.push(at.cluster);
  }
  return clusters;
}

/** Where the contents of a file lie in the file system, in their order; neighbours are one range. Errors as `chainClusters`. */
export async function chainRanges(chain: FatChain, sizeBytes: number): Promise<readonly ByteRange[]> {
  const { clusterBytes } = chain.geometry;
  const ranges: { startByte: number; endByte: number }[] = [];
  if (sizeBytes === 0) return ranges;
  for (let at = startOfChain(chain), done = 0; ; at = await stepInFile(chain, at)) {
    const length = Math.min(clusterBytes, sizeBytes - done);
    const startByte = clusterStart(chain.geometry, at.cluster);
    const last = ranges.at(-1);
    if (last?.endByte === startByte) last.endByte += length;
    else ranges.push({ startByte, endByte: startByte + length });
    done += length;
    if (done === sizeBytes) return ranges;
  }
}

/**
 * The contents of a file. Its chain is followed as it is read, so memory does not grow with it; reading on is cheap, reading
 * before the last place starts at the first cluster again. Throws `invalid-input` where the chain ends before the size.
 */
export function fileReader(chain: FatChain, sizeBytes: number): ByteReader {
  const { reader, geometry } = chain;
  const { clusterBytes } = geometry;
  let last: Cursor | undefined;

  const seek = async (index: number): Promise<Cursor> => {
    // No other call changes a cursor that this one holds: they are values.
    let at = last !== undefined && last.index <= index ? last : startOfChain(chain);
    while (at.index < index) at = await stepInFile(chain, at);
    return at;
  };

  return {
    sizeBytes,
    read: async (target, position) => {
      const endByte = Math.min(sizeBytes, position + target.length);
      let nextByte = position;
      while (nextByte < endByte) {
        let at = await seek(Math.floor(nextByte / clusterBytes));
        const startByte = clusterStart(geometry, at.cluster) + (nextByte % clusterBytes);
        let runEndByte = (at.index + 1) * clusterBytes;
        // Neighbours are read together.
        while (runEndByte < endByte) {
          const next = await stepInFile(chain, at);
          if (next.cluster !== at.cluster + 1) break;
          at = next;
          runEndByte += clusterBytes;
        }
        last = at;
        const part = target.subarray(nextByte - position, Math.min(runEndByte, endByte) - position);
        if ((await reader.read(part, startByte)) !== part.length) throw damaged('it is cut off');
        nextByte += part.length;
      }
      return Math.max(0, endByte - position);
    },
    close: async () => {},
  };
}

async function stepInFile(chain: FatChain, at: Cursor): Promise<Cursor> {
  const next = await step(chain, at);
  if (next === undefined) throw damaged(`the file at cluster ${chain.firstCluster} ends before its size`);
  return next;
}
