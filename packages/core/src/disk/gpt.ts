// GUID partition table: UEFI specification 2.10, section 5.3. All fields are little-endian.

import { MigrateError } from '../error.ts';
import type { ByteReader } from '../host/host.ts';
import { readExactly } from './byte-reader.ts';
import { crc32 } from './crc32.ts';
import { formatGuid } from './guid.ts';
import { mbrEntries } from './mbr.ts';
import type { Partition, PartitionTable } from './partition.ts';

const signature = 'EFI PART';
const minimumHeaderBytes = 92;
/** The specification asks for 128 bytes an entry and at least 16 KiB of them; anything far above is hostile. */
const maximumEntries = 1024;
const maximumEntryBytes = 4096;

interface GptHeader {
  readonly diskGuid: string;
  readonly entriesLba: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** A protective MBR: one of its entries has the type that stands for a GPT. */
export function isProtectiveMbr(sector: Buffer): boolean {
  return mbrEntries(sector).some((entry) => entry.type === 'ee' && entry.sectors > 0);
}

/** The sector size that a GPT counts in, told by where its first header stands; undefined where there is none. */
export async function gptSectorBytes(reader: ByteReader): Promise<512 | 4096 | undefined> {
  for (const sectorBytes of [512, 4096] as const) {
    const head = await readExactly(reader, sectorBytes, signature.length);
    if (head?.toString('latin1') === signature) return sectorBytes;
  }
  return undefined;
}

/** Reads the primary table, or the backup in the last sector where the primary is damaged. Throws where both are. */
export async function readGpt(
  reader: ByteReader,
  sectorSize: number,
  { readsBackup }: { readsBackup: boolean },
): Promise<PartitionTable> {
  const lastLba = Math.floor(reader.sizeBytes / sectorSize) - 1;
  const primary = await readCopy(reader, { lba: 1, sectorSize });
  const backup = !readsBackup ? undefined : await readCopy(reader, { lba: lastLba, sectorSize });
  const table = primary ?? backup;
  if (table === undefined) {
    throw new MigrateError(
      'invalid-input',
      'the GPT is damaged: neither the primary nor the backup copy has valid checksums',
    );
  }
  return readsBackup ? { ...table, backupAtEnd: backup !== undefined } : table;
}

async function readCopy(
  reader: ByteReader,
  { lba, sectorSize }: { lba: number; sectorSize: number },
): Promise<PartitionTable | undefined> {
  const sector = lba < 1 ? undefined : await readExactly(reader, lba * sectorSize, sectorSize);
  const header = sector === undefined ? undefined : parseHeader(sector, lba);
  if (header === undefined) return undefined;
  const entries = await readExactly(reader, header.entriesLba * sectorSize, header.entryCount * header.entryBytes);
  if (entries === undefined || crc32(entries) !== header.entriesCrc) return undefined;
  const partitions: Partition[] = [];
  for (let index = 0; index < header.entryCount; index += 1) {
    const partition = parseEntry(entries.subarray(index * header.entryBytes), { number: index + 1, sectorSize });
    if (partition !== undefined) partitions.push(partition);
  }
  return { kind: 'gpt', id: header.diskGuid, partitions };
}

function parseHeader(sector: Buffer, lba: number): GptHeader | undefined {
  if (sector.toString('latin1', 0, 8) !== signature) return undefined;
  const headerBytes = sector.readUInt32LE(12);
  if (headerBytes < minimumHeaderBytes || headerBytes > sector.length) return undefined;
  const checked = Buffer.from(sector.subarray(0, headerBytes));
  checked.writeUInt32LE(0, 16);
  if (crc32(checked) !== sector.readUInt32LE(16) || Number(sector.readBigUInt64LE(24)) !== lba) return undefined;
  const entryCount = sector.readUInt32LE(80);
  const entryBytes = sector.readUInt32LE(84);
  if (entryCount > maximumEntries || entryBytes < 128 || entryBytes > maximumEntryBytes) return undefined;
  return {
    diskGuid: formatGuid(sector.subarray(56, 72)),
    entriesLba: Number(sector.readBigUInt64LE(72)),
    entryCount,
    entryBytes,
    entriesCrc: sector.readUInt32LE(88),
  };
}

function parseEntry(
  entry: Buffer,
  { number, sectorSize }: { number: number; sectorSize: number },
): Partition | undefined {
  const type = entry.subarray(0, 16);
  if (type.every((byte) => byte === 0)) return undefined;
  const firstLba = Number(entry.readBigUInt64LE(32));
  const lastLba = Number(entry.readBigUInt64LE(40));
  if (lastLba < firstLba)
    throw new MigrateError('invalid-input', `the GPT is damaged: partition ${number} ends before it starts`);
  const name = entry.toString('utf16le', 56, 128).replace(/\0.*$/s, '');
  return {
    number,
    startByte: firstLba * sectorSize,
    sizeBytes: (lastLba - firstLba + 1) * sectorSize,
    type: formatGuid(type).toUpperCase(),
    uuid: formatGuid(entry.subarray(16, 32)),
    ...(name === '' ? {} : { name }),
    bootable: (entry.readUInt8(48) & 4) !== 0,
  };
}
