import type { ByteReader } from './host.ts';

/** A partition as the table describes it, in bytes whatever the sector size. */
export interface Partition {
  /** Number as Linux counts: MBR logical partitions start at 5. */
  readonly number: number;
  readonly startByte: number;
  readonly sizeBytes: number;
  /** MBR: two lower-case hex digits ("83"); GPT: upper-case GUID. */
  readonly type: string;
  /** PARTUUID as Linux writes it: MBR "12345678-01", GPT lower-case GUID. */
  readonly uuid: string;
  /** GPT partition name. */
  readonly name?: string;
  /** MBR active flag, or GPT legacy BIOS bootable attribute. */
  readonly bootable: boolean;
}

export interface PartitionTable {
  readonly kind: 'mbr' | 'gpt';
  /** MBR disk signature as 8 hex digits, or GPT disk GUID, both lower-case. */
  readonly id: string;
  readonly partitions: readonly Partition[];
  /** GPT only: whether a valid backup header stands in the last sector of `reader`. */
  readonly backupAtEnd?: boolean;
}

/**
 * Reads the partition table of a disk or image. Undefined where there is none. Throws `invalid-input` for a table that
 * contradicts itself (overlaps, EBR loops, partitions beyond the end, wrong GPT checksums in both copies).
 */
export async function readPartitionTable(reader: ByteReader, sectorSize: number): Promise<PartitionTable | undefined> {
  throw new Error(`not written yet ${reader.sizeBytes} ${sectorSize}`);
}
