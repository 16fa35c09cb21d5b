// Room for the payload's partition: what no partition has, else a part of Windows' own.
import { error, type Finding, type WindowsPartition } from '@migrate/core';
import type { WindowsDisk, WindowsVolumePartition } from '../facts/windows-facts.ts';

const mebibyte = 1024 * 1024;
/** Windows and its recovery environment begin and end partitions there too. */
const alignmentBytes = mebibyte;
/** For the table at both ends of the disk, which takes 34 and 33 sectors. */
const edgeBytes = mebibyte;
/** Windows goes on working in it until the restart, and comes back to it after a failure. */
const windowsReserveBytes = 256 * mebibyte;

export interface Room {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** What must become smaller before. */
  readonly shrink?: {
    readonly partition: Pick<WindowsPartition, 'partition' | 'guid'>;
    readonly fromBytes: number;
    readonly toBytes: number;
  };
}

/** As near to the disk's end as it can be, and behind `fromByte`: free space, else the end of Windows' partition. */
export function findRoom(
  { disk, partition }: { readonly disk: WindowsDisk; readonly partition: WindowsVolumePartition },
  neededBytes: number,
  fromByte = 0,
): Room | Finding {
  const sizeBytes = alignUp(neededBytes);
  const free = gapsOf(disk).findLast(
    (gap) => gap.endByte - gap.startByte >= sizeBytes && gap.endByte - sizeBytes >= fromByte,
  );
  if (free !== undefined) return { offsetBytes: free.endByte - sizeBytes, sizeBytes };
  const { supportedSize, volume, guid } = partition;
  const fromBytes = partition.sizeBytes;
  const endByte = alignDown(partition.offsetBytes + fromBytes);
  const offsetBytes = endByte - sizeBytes;
  const toBytes = offsetBytes - partition.offsetBytes;
  const where = `disk ${disk.number}`;
  const hint =
    'Free space on it; what cannot be moved limits it too: turn off hibernation (powercfg /h off), delete restore points, make the page file smaller';
  if (supportedSize === undefined || volume === undefined || guid === undefined)
    return error(
      'no-room',
      where,
      'there is no free space, and Windows does not say how far its partition can shrink',
      hint,
    );
  if (offsetBytes < fromByte)
    return error(
      'no-room',
      where,
      `of the ${inMebibytes(sizeBytes)} MiB that stage 2 needs on the disk, a part would lie in the first ${inMebibytes(fromByte)} MiB, where the new system will be`,
      hint,
    );
  const missing = Math.max(
    supportedSize.minimumBytes - toBytes,
    windowsReserveBytes - (volume.freeBytes - (fromBytes - toBytes)),
  );
  if (missing > 0) {
    const text = `stage 2 needs ${inMebibytes(sizeBytes)} MiB on the disk: no gap between partitions is that large, and Windows' partition can give ${inMebibytes(missing)} MiB too little`;
    return error('no-room', where, text, hint);
  }
  return {
    offsetBytes,
    sizeBytes,
    shrink: { partition: { partition: partition.number, guid }, fromBytes, toBytes },
  };
}

interface Gap {
  readonly startByte: number;
  readonly endByte: number;
}

/** What lies between partitions, aligned inwards; the partitions are in the order of their places. */
export function gapsOf({ partitions, sizeBytes }: Pick<WindowsDisk, 'partitions' | 'sizeBytes'>): readonly Gap[] {
  const gaps: Gap[] = [];
  let startByte = edgeBytes;
  const add = (endByte: number): void => {
    const gap = { startByte: alignUp(startByte), endByte: alignDown(endByte) };
    if (gap.endByte > gap.startByte) gaps.push(gap);
  };
  for (const partition of partitions) {
    add(partition.offsetBytes);
    startByte = Math.max(startByte, partition.offsetBytes + partition.sizeBytes);
  }
  add(sizeBytes - edgeBytes);
  return gaps;
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / alignmentBytes) * alignmentBytes;
}

function alignDown(bytes: number): number {
  return Math.floor(bytes / alignmentBytes) * alignmentBytes;
}

function inMebibytes(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}
