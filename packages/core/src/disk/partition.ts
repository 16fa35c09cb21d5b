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

/** MBR types of extended partitions: CHS, LBA, and Linux's own. */
export function isExtended(type: string): boolean {
  return type === '05' || type === '0f' || type === '85';
}
