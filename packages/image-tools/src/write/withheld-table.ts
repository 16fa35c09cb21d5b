// The partition table, which is made first and put on the disk last.
import {
  type ByteRange,
  type ByteWriter,
  type Emit,
  type Host,
  MigrateError,
  type PartitionTable,
  readExactly,
  readPartitionTable,
} from '@migrate/core';
import { writeCommitSectors } from '../flash/commit-sectors.ts';
import type { DiskLayout } from './disk-layout.ts';
import { partitionArguments, partitionScript } from './partition-script.ts';

/** The sectors without which a disk has no partitions for any firmware or kernel. */
export interface WithheldTable {
  /** Sector 0, and for a GPT sector 1. */
  readonly commitBytes: Uint8Array;
  /** GPT: the backup header, from which firmware would bring back the table. */
  readonly backup?: { readonly startByte: number; readonly bytes: Uint8Array };
}

/** Magic numbers of file systems, RAID and volume managers lie within this much of either end. */
const signatureBytes = 1024 * 1024;
/** Tables lie in the first 34 sectors of 512 bytes, or 6 of 4096. */
const tableBytes = 32 * 1024;

/**
 * Wipes what an old system left where tables, boot loaders and signatures lie: everything before the first partition, both ends
 * of each partition to come, and the end of the disk. The table goes first, so that the old system is gone at once, and must
 * go; elsewhere a block that cannot be written is only said, since media with such blocks are what this writer is for. Durable.
 */
export async function wipeSignatures(target: ByteWriter, layout: DiskLayout, emit: Emit): Promise<void> {
  const { sectorBytes, partitions } = layout;
  await wipe(target, { startByte: 0, endByte: tableBytes });
  await target.flush();
  const ranges = partitions.flatMap(({ startSector, sectors }) => {
    const startByte = startSector * sectorBytes;
    const endByte = startByte + sectors * sectorBytes;
    return [
      { startByte, endByte: Math.min(startByte + signatureBytes, endByte) },
      { startByte: Math.max(endByte - signatureBytes, startByte), endByte },
    ];
  });
  const firstByte = Math.min(...ranges.map(({ startByte }) => startByte));
  const last = { startByte: target.sizeBytes - signatureBytes, endByte: target.sizeBytes };
  for (const range of [{ startByte: tableBytes, endByte: firstByte }, ...ranges, last]) {
    try {
      await wipe(target, range);
      await target.flush();
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) || thrown.code !== 'write-failed') throw thrown;
      emit({ kind: 'note', level: 'warn', text: `wiping ${range.startByte} to ${range.endByte}: ${thrown.message}` });
    }
  }
}

const wipeChunkBytes = 1024 * 1024;

async function wipe(target: ByteWriter, { startByte, endByte }: ByteRange): Promise<void> {
  for (let position = startByte; position < endByte; position += wipeChunkBytes)
    await target.write(new Uint8Array(Math.min(wipeChunkBytes, endByte - position)), position);
}

/**
 * Lets sfdisk write the table of a wiped disk, compares what came out with the layout, and takes the sectors that count off the
 * disk again. Nothing bootable is on the disk meanwhile. Throws `verify-mismatch`.
 */
export async function makeWithheldTable(
  host: Host,
  { disk, target, layout }: { disk: string; target: ByteWriter; layout: DiskLayout },
): Promise<WithheldTable> {
  await host.run('sfdisk', partitionArguments(disk), { input: partitionScript(layout) });
  checkTable(await readPartitionTable(target, layout.sectorBytes), layout);
  const { sectorBytes, table } = layout;
  const commitBytes = await readAt(target, 0, (table === 'gpt' ? 2 : 1) * sectorBytes);
  const backupByte = target.sizeBytes - sectorBytes;
  const backup = table === 'gpt' ? await readAt(target, backupByte, sectorBytes) : undefined;
  await target.write(new Uint8Array(commitBytes.length), 0);
  if (backup !== undefined) await target.write(new Uint8Array(sectorBytes), backupByte);
  await target.flush();
  return { commitBytes, ...(backup === undefined ? {} : { backup: { startByte: backupByte, bytes: backup } }) };
}

/**
 * Puts the table on the disk: from here the new system boots. The backup header comes first and sector 0 last, each durable
 * before the next; all is read back from the medium. Throws `verify-mismatch`; it may be run again.
 */
export async function commitTable(
  host: Host,
  { target, layout, withheld }: { target: ByteWriter; layout: DiskLayout; withheld: WithheldTable },
): Promise<PartitionTable> {
  if (withheld.backup !== undefined) {
    await target.write(withheld.backup.bytes, withheld.backup.startByte);
    await target.flush();
  }
  await writeCommitSectors(target, withheld.commitBytes, () => host.dropCaches());
  return checkTable(await readPartitionTable(target, layout.sectorBytes), layout);
}

function checkTable(table: PartitionTable | undefined, layout: DiskLayout): PartitionTable {
  const { sectorBytes } = layout;
  const found = new Map(table?.partitions.map((partition) => [partition.number, partition]));
  const isAsWanted = layout.partitions.every(({ number, startSector, sectors, type, name, label }) => {
    const partition = found.get(number);
    const named = layout.table === 'gpt' ? partition?.name === label : partition?.bootable === (name === 'boot');
    const placed = partition?.startByte === startSector * sectorBytes && partition.sizeBytes === sectors * sectorBytes;
    return placed && named && partition?.type === type;
  });
  if (table?.kind !== layout.table || table.backupAtEnd === false || !isAsWanted)
    throw new MigrateError('verify-mismatch', 'the partition table on the disk is not the one that was planned');
  return table;
}

async function readAt(target: ByteWriter, startByte: number, sizeBytes: number): Promise<Uint8Array> {
  const bytes = await readExactly(target, startByte, sizeBytes);
  if (bytes === undefined) throw new MigrateError('read-failed', `the disk ends before byte ${startByte + sizeBytes}`);
  return bytes;
}
