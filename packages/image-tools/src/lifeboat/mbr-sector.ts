// Sector 0 of a disk whose only partition is the lifeboat: a table, and for BIOS GRUB's boot.img with the place of its core image.
// Field places: grub-core/boot/i386/pc/boot.S and include/grub/i386/pc/boot.h of GRUB 2.06; the table as core/disk/mbr.ts.
import { MigrateError } from '@migrate/core';

const sectorBytes = 512;
/** The code ends where the disk signature begins. */
const codeBytes = 440;
const kernelSectorOffset = 0x5c;
/** 0xff: the drive that the BIOS names. */
const bootDriveOffset = 0x64;
/** Two bytes that jump over a work-around for a BIOS which names no sensible drive. */
const driveCheckOffset = 0x66;
const signatureOffset = 440;
const entriesOffset = 446;
const entryBytes = 16;
/** Of core.img's first sector: where its next sectors lie, and how many they are. */
const blockListOffset = sectorBytes - 12;
/** CHS fields of what cannot be said in them. */
const beyondChs = [0xfe, 0xff, 0xff];
/** FAT32 by LBA. */
const fatType = 0x0c;

export interface MbrSectorRequest {
  /** GRUB's boot.img. */
  readonly bootImage: Uint8Array;
  /** Where its core image lies on the disk, in sectors. */
  readonly coreSector: number;
  /** The disk's signature: 8 hexadecimal digits. */
  readonly diskId: string;
  /** The only partition, number 4. */
  readonly partition: { readonly startSector: number; readonly sectors: number };
}

/** Throws `unsupported` for places that 32 bits do not hold, `invalid-input` for something else than boot.img. */
export function mbrSector({ bootImage, coreSector, diskId, partition }: MbrSectorRequest): Uint8Array {
  if (bootImage.length !== sectorBytes || bootImage[510] !== 0x55 || bootImage[511] !== 0xaa)
    throw new MigrateError('invalid-input', "GRUB's boot.img is no boot sector");
  const sector = Buffer.from(lifeboatSector({ diskId, number: 4, ...partition }));
  Buffer.from(bootImage.subarray(0, codeBytes)).copy(sector);
  sector.writeBigUInt64LE(BigInt(coreSector), kernelSectorOffset);
  sector[bootDriveOffset] = 0xff;
  sector.writeUInt16LE(0x9090, driveCheckOffset);
  return sector;
}

export interface LifeboatSectorRequest {
  /** The disk's signature: 8 hexadecimal digits. */
  readonly diskId: string;
  /** Of the only partition, 1 to 4. */
  readonly number: number;
  readonly startSector: number;
  readonly sectors: number;
}

/** Sector 0 with a table and no boot code. Throws `unsupported` for places that 32 bits do not hold. */
export function lifeboatSector({ diskId, number, startSector, sectors }: LifeboatSectorRequest): Uint8Array {
  if (startSector + sectors > 2 ** 32)
    throw new MigrateError('unsupported', `sector ${startSector + sectors} lies beyond what an MBR can name`);
  const sector = Buffer.alloc(sectorBytes);
  sector.writeUInt32LE(Number.parseInt(diskId, 16), signatureOffset);
  const entry = sector.subarray(entriesOffset + (number - 1) * entryBytes);
  entry[0] = 0x80;
  entry.set(beyondChs, 1);
  entry[4] = fatType;
  entry.set(beyondChs, 5);
  entry.writeUInt32LE(startSector, 8);
  entry.writeUInt32LE(sectors, 12);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** GRUB's core image for the place that it will have: its first sector loads the others, which follow it. */
export function placedCoreImage(core: Uint8Array, coreSector: number): Uint8Array {
  const placed = Buffer.alloc(Math.ceil(core.length / sectorBytes) * sectorBytes);
  Buffer.from(core).copy(placed);
  const sectors = placed.length / sectorBytes - 1;
  if (sectors < 1 || sectors > 0xffff) throw new MigrateError('invalid-input', "GRUB's core image has an absurd size");
  placed.writeBigUInt64LE(BigInt(coreSector + 1), blockListOffset);
  placed.writeUInt16LE(sectors, blockListOffset + 8);
  return placed;
}
