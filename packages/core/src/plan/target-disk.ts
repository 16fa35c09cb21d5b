import { MigrateError } from '../error.ts';
import type { Disk } from '../machine/facts.ts';
import type { DiskIdentity } from './plan.ts';

/** What identifies a disk across a reboot, whatever order the kernel finds disks in. */
export function identifyDisk(disk: Disk): DiskIdentity {
  return {
    pathInStage1: disk.path,
    sizeBytes: disk.sizeBytes,
    logicalSectorSize: disk.logicalSectorSize,
    ...(disk.table === undefined ? {} : { tableId: disk.table.id }),
    ...(disk.serial === undefined ? {} : { serial: disk.serial }),
    ...(disk.wwid === undefined ? {} : { wwid: disk.wwid }),
  };
}

/**
 * Finds the one disk that has all of an identity. Throws `wrong-disk` when none or several match: flashing the wrong disk
 * is worse than not flashing. `ignoreTable` is for a resumed flash, which has overwritten the table itself.
 */
export function findDisk(disks: readonly Disk[], identity: DiskIdentity, { ignoreTable = false } = {}): Disk {
  const matching = disks.filter(
    (disk) =>
      disk.sizeBytes === identity.sizeBytes &&
      disk.logicalSectorSize === identity.logicalSectorSize &&
      (ignoreTable || disk.table?.id === identity.tableId) &&
      sameWhereKnown(disk.serial, identity.serial) &&
      sameWhereKnown(disk.wwid, identity.wwid),
  );
  const [disk] = matching;
  if (disk !== undefined && matching.length === 1) return disk;
  const seen = disks.map(
    (candidate) => `${candidate.path} (${candidate.sizeBytes} bytes, table ${candidate.table?.id ?? 'none'})`,
  );
  throw new MigrateError(
    'wrong-disk',
    `${matching.length === 0 ? 'no disk' : 'more than one disk'} is the one that was ${identity.pathInStage1} in stage 1; there are ${seen.join(', ') || 'no disks'}`,
  );
}

/** A driver may show a serial number in one kernel and none in the next; two different ones are two disks. */
function sameWhereKnown(found: string | undefined, wanted: string | undefined): boolean {
  return found === undefined || wanted === undefined || found === wanted;
}
