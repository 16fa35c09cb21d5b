// A GPT of one EFI system partition whose table of entries lies anywhere: UEFI specification 2.10, section 5.3.2. Writing its
// header alone switches a disk to it.
import { crc32, guidBytes } from '@migrate/core';

export const gptEntriesBytes = 128 * 128;
const headerBytes = 92;
const efiSystem = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';

export interface GptSectorsRequest {
  readonly sectorBytes: number;
  readonly diskSectors: number;
  readonly diskGuid: string;
  /** Where the table of entries lies, in sectors. */
  readonly entriesSector: number;
  readonly partition: {
    readonly startSector: number;
    readonly sectors: number;
    readonly guid: string;
    /** At most 36 characters. */
    readonly name: string;
  };
}

export interface GptSectors {
  /** `gptEntriesBytes` for `entriesSector`. */
  readonly entries: Uint8Array;
  /** For sector 1. */
  readonly header: Uint8Array;
  /** For the last sector of the disk; it names the same table of entries. */
  readonly backup: Uint8Array;
}

export function gptSectors(request: GptSectorsRequest): GptSectors {
  const { partition } = request;
  const entries = Buffer.alloc(gptEntriesBytes);
  Buffer.from(guidBytes(efiSystem)).copy(entries, 0);
  Buffer.from(guidBytes(partition.guid)).copy(entries, 16);
  entries.writeBigUInt64LE(BigInt(partition.startSector), 32);
  entries.writeBigUInt64LE(BigInt(partition.startSector + partition.sectors - 1), 40);
  entries.write(partition.name.slice(0, 36), 56, 'utf16le');
  const lastSector = request.diskSectors - 1;
  const header = (own: number, other: number): Uint8Array => headerSector(request, { own, other, entries });
  return { entries, header: header(1, lastSector), backup: header(lastSector, 1) };
}

function headerSector(
  { sectorBytes, diskSectors, diskGuid, entriesSector }: GptSectorsRequest,
  { own, other, entries }: { own: number; other: number; entries: Buffer },
): Uint8Array {
  const tableSectors = gptEntriesBytes / sectorBytes;
  const sector = Buffer.alloc(sectorBytes);
  sector.write('EFI PART', 0, 'latin1');
  sector.writeUInt32LE(0x00010000, 8);
  sector.writeUInt32LE(headerBytes, 12);
  sector.writeBigUInt64LE(BigInt(own), 24);
  sector.writeBigUInt64LE(BigInt(other), 32);
  sector.writeBigUInt64LE(BigInt(2 + tableSectors), 40);
  sector.writeBigUInt64LE(BigInt(diskSectors - tableSectors - 2), 48);
  Buffer.from(guidBytes(diskGuid)).copy(sector, 56);
  sector.writeBigUInt64LE(BigInt(entriesSector), 72);
  sector.writeUInt32LE(128, 80);
  sector.writeUInt32LE(128, 84);
  sector.writeUInt32LE(crc32(entries), 88);
  sector.writeUInt32LE(crc32(sector.subarray(0, headerBytes)), 16);
  return sector;
}
