// MBR and extended boot records, as Linux reads them (block/partitions/msdos.c). All fields are little-endian.

import { MigrateError } from '../error.ts';
import type { ByteReader } from '../host/host.ts';
import { readExactly } from './byte-reader.ts';
import { isExtended, type Partition, type PartitionTable } from './partition.ts';

const signatureOffset = 0x1fe;
const diskIdOffset = 0x1b8;
const entriesOffset = 0x1be;
const entryBytes = 16;
/** Linux itself stops at 100 (DISK_MAX_PARTS is 256); a chain of that length is hostile. */
const maximumLogical = 128;

interface MbrEntry {
  readonly type: string;
  readonly isActive: boolean;
  readonly startSector: number;
  readonly sectors: number;
}

export function hasMbrSignature(sector: Buffer): boolean {
  return sector.readUInt16LE(signatureOffset) === 0xaa55;
}

export function mbrEntries(sector: Buffer): readonly MbrEntry[] {
  return [0, 1, 2, 3].map((index) => {
    const offset = entriesOffset + index * entryBytes;
    return {
      isActive: sector[offset] === 0x80,
      type: (sector[offset + 4] ?? 0).toString(16).padStart(2, '0'),
      startSector: sector.readUInt32LE(offset + 8),
      sectors: sector.readUInt32LE(offset + 12),
    };
  });
}

/** Undefined where the sector is the boot sector of a file system instead of a table. */
export async function readMbr(
  reader: ByteReader,
  { first, sectorSize }: { first: Buffer; sectorSize: number },
): Promise<PartitionTable | undefined> {
  const flags = [0, 1, 2, 3].map((index) => first[entriesOffset + index * entryBytes] ?? 0);
  if (flags.some((flag) => flag !== 0 && flag !== 0x80)) return undefined;
  const id = first.readUInt32LE(diskIdOffset).toString(16).padStart(8, '0');
  const partitions: Partition[] = [];
  const add = (number: number, entry: MbrEntry): void => {
    const uuid = `${id}-${number.toString(16).padStart(2, '0')}`;
    const { type, isActive, startSector, sectors } = entry;
    partitions.push({
      number,
      startByte: startSector * sectorSize,
      sizeBytes: sectors * sectorSize,
      type,
      uuid,
      bootable: isActive,
    });
  };
  for (const [index, entry] of mbrEntries(first).entries()) {
    if (entry.sectors === 0) continue;
    add(index + 1, entry);
    if (!isExtended(entry.type)) continue;
    const logical = await readLogical(reader, { extended: entry, sectorSize });
    for (const [position, found] of logical.entries()) add(5 + position, found);
  }
  // Boot sectors often have zeros where a table would have entries.
  if (partitions.length === 0 && isBootSectorOfFileSystem(first)) return undefined;
  return { kind: 'mbr', id, partitions };
}

/** FAT, exFAT and NTFS start with a jump over their parameter block, which begins with a sector size or with its absence. */
function isBootSectorOfFileSystem(sector: Buffer): boolean {
  const startsWithJump = (sector[0] === 0xeb && sector[2] === 0x90) || sector[0] === 0xe9;
  return startsWithJump && [0, 512, 1024, 2048, 4096].includes(sector.readUInt16LE(11)) && (sector[16] ?? 0) <= 2;
}

/** Follows the chain of extended boot records: each names one logical partition, and the next record relative to the first. */
async function readLogical(
  reader: ByteReader,
  { extended, sectorSize }: { extended: MbrEntry; sectorSize: number },
): Promise<readonly MbrEntry[]> {
  const found: MbrEntry[] = [];
  const seen = new Set<number>();
  let current = extended.startSector;
  for (;;) {
    if (seen.has(current) || found.length >= maximumLogical)
      throw invalid('the chain of extended boot records does not end');
    seen.add(current);
    const sector = await readExactly(reader, current * sectorSize, sectorSize);
    if (sector === undefined) throw invalid(`an extended boot record would lie beyond the end, at sector ${current}`);
    if (!hasMbrSignature(sector)) return found;
    const [partition, next] = mbrEntries(sector);
    if (partition !== undefined && partition.sectors > 0 && !isExtended(partition.type)) {
      found.push({ ...partition, startSector: current + partition.startSector });
    }
    if (next === undefined || next.sectors === 0 || !isExtended(next.type)) return found;
    current = extended.startSector + next.startSector;
  }
}

function invalid(why: string): MigrateError {
  return new MigrateError('invalid-input', `the partition table is damaged: ${why}`);
}
