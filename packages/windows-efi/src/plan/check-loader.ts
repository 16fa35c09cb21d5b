// What the way of starting stage 2 asks of the machine.
import { error, type Finding } from '@migrate/core';
import { systemPartition, type WindowsFacts } from '../facts/windows-facts.ts';
import type { BootParts } from './boot-parts.ts';

/** Windows' boot manager, of which a copy is kept, has some 3 MiB; the menu next to nothing. */
const bootManagerBytes = 8 * 1024 * 1024;

/** The system partition takes files only where a loader takes the place of Windows' boot manager. */
export function checkSystemPartition(facts: WindowsFacts, { loader }: BootParts): readonly Finding[] {
  const esp = systemPartition(facts);
  if (esp === undefined) return [];
  const where = `partition ${esp.partition.number} of disk ${esp.disk.number}`;
  const { volume, guid } = esp.partition;
  if (volume?.uuid === undefined || guid === undefined) {
    return [
      error(
        'system-partition-unreadable',
        where,
        'Windows does not say which GUID and file system the EFI system partition has',
        'Use windows_boot: boot-next, which needs nothing of it',
      ),
    ];
  }
  const neededBytes = loader.sizeBytes + bootManagerBytes;
  if (volume.freeBytes >= neededBytes) return [];
  return [
    error(
      'system-partition-full',
      where,
      `the EFI system partition has ${inMebibytes(volume.freeBytes)} MiB free, the loader and a copy of Windows' need ${inMebibytes(neededBytes)} MiB`,
      'Free space on it, or use windows_boot: boot-next, which needs nothing of it',
    ),
  ];
}

function inMebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024);
}
