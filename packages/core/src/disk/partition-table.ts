import { MigrateError } from '../error.ts';
import type { ByteReader } from '../host/host.ts';
import { readExactly } from './byte-reader.ts';
import { isProtectiveMbr, readGpt } from './gpt.ts';
import { hasMbrSignature, readMbr } from './mbr.ts';
import { isExtended, type PartitionTable } from './partition.ts';

/**
 * Reads the partition table of a disk or image. Undefined where there is none. Throws `invalid-input` for a table that
 * contradicts itself (overlaps, EBR loops, partitions beyond the end, wrong GPT checksums in both copies). `readsBackup:
 * false` leaves the backup GPT alone, for streams whose end is far or unknown.
 */
export async function readPartitionTable(
  reader: ByteReader,
  sectorSize: number,
  { readsBackup = true }: { readsBackup?: boolean } = {},
): Promise<PartitionTable | undefined> {
  const first = await readExactly(reader, 0, sectorSize);
  if (first === undefined || !hasMbrSignature(first)) return undefined;
  const table = isProtectiveMbr(first)
    ? await readGpt(reader, sectorSize, { readsBackup })
    : await readMbr(reader, { first, sectorSize });
  if (table !== undefined) checkLayout(table, reader.sizeBytes);
  return table;
}

/** Throws where real partitions overlap or end behind `sizeBytes`. */
export function checkLayout(table: PartitionTable, sizeBytes: number): void {
  // Extended partitions hold the logical ones, so they overlap by nature.
  const real = table.partitions.filter((partition) => table.kind === 'gpt' || !isExtended(partition.type));
  const ordered = [...real].sort((a, b) => a.startByte - b.startByte);
  let endByte = 0;
  let before = 0;
  for (const partition of ordered) {
    if (partition.startByte < endByte) throw invalid(`partitions ${before} and ${partition.number} overlap`);
    endByte = partition.startByte + partition.sizeBytes;
    before = partition.number;
    if (endByte > sizeBytes)
      throw invalid(`partition ${partition.number} ends at byte ${endByte}, beyond the end at ${sizeBytes}`);
  }
}

function invalid(why: string): MigrateError {
  return new MigrateError('invalid-input', `the partition table is damaged: ${why}`);
}
