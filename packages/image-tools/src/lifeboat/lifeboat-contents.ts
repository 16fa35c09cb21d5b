// What a lifeboat is made of: a FAT volume with everything that stage 2 needs, and the one sector that makes the firmware boot it.
// Pure but for the bytes that it is given.
import { type LifeboatRecord, lifeboatRecordBytes, lifeboatRecordStart, type SectorWrite } from '@migrate/core';
import {
  type FatVolume,
  freeReservedSector,
  layOutFatVolume,
  type Piece,
  reservedSectors,
  type VolumeFile,
} from './fat-volume.ts';
import { gptEntriesBytes, gptSectors } from './gpt-sectors.ts';
import { lifeboatSector, mbrSector, placedCoreImage } from './mbr-sector.ts';

const sectorBytes = 512;
/** Firmware and kernels like it; flash media too. */
export const regionAlignBytes = 1024 * 1024;
/** The table of a GPT lies behind what FAT needs of the reserved sectors. */
const entriesSector = freeReservedSector;
const coreImagePath = 'boot/core.img';

if (
  entriesSector * sectorBytes + gptEntriesBytes > lifeboatRecordStart ||
  lifeboatRecordStart + lifeboatRecordBytes > reservedSectors * sectorBytes
)
  throw new Error('the reserved sectors of a lifeboat overlap');

export interface LifeboatRequest {
  readonly files: readonly VolumeFile[];
  readonly way: LifeboatWay;
  readonly serial: string;
  readonly time: Date;
  readonly disk: { readonly sizeBytes: number; readonly tableId: string };
}

/**
 * How the firmware is made to boot the lifeboat: by sector 0 with boot code that starts a core image in it, and a table that has it as
 * partition 4; by the header of a GPT whose only partition it is; or, for firmware that reads FAT itself, by a table without boot code
 * that has it as partition 1.
 */
export type LifeboatWay =
  | { readonly kind: 'mbr'; readonly bootImage: Uint8Array; readonly coreImage: Uint8Array }
  | { readonly kind: 'gpt'; readonly partitionGuid: string }
  | { readonly kind: 'partition' };

export interface LifeboatContents {
  /** A multiple of `regionAlignBytes`. */
  readonly sizeBytes: number;
  /** Where the contents of one of the files begin, from the lifeboat's start. */
  startOf(path: string): number;
  /** Everything but the contents of files and the record, for a lifeboat that begins at that byte of its disk. */
  pieces(startByte: number): readonly Piece[];
  /** What the record says of the way, for a lifeboat that begins there. */
  wayRecord(startByte: number): Pick<LifeboatRecord, 'switch' | 'backup' | 'partition'>;
}

export function layOutLifeboat(request: LifeboatRequest): LifeboatContents {
  const { files, way, serial, time } = request;
  const own: VolumeFile[] = [];
  if (way.kind === 'mbr')
    own.push({ path: coreImagePath, sizeBytes: Math.ceil(way.coreImage.length / sectorBytes) * sectorBytes });
  const volume = layOutFatVolume({ files: [...own, ...files], serial, label: 'LIFEBOAT', time });
  const sizeBytes = Math.ceil(volume.sizeBytes / regionAlignBytes) * regionAlignBytes;
  return {
    sizeBytes,
    startOf: volume.startOf,
    wayRecord: (startByte) => switchOf(request, { volume, startByte, sizeBytes }),
    pieces: (startByte) => [
      ...volume.metadata(startByte / sectorBytes),
      ...ownPieces(request, { volume, startByte, sizeBytes }),
    ],
  };
}

interface Place {
  readonly volume: FatVolume;
  readonly startByte: number;
  readonly sizeBytes: number;
}

function switchOf(request: LifeboatRequest, place: Place): Pick<LifeboatRecord, 'switch' | 'backup' | 'partition'> {
  const { way } = request;
  switch (way.kind) {
    case 'mbr':
      return mbrSwitch(request, way, place);
    case 'gpt':
      return gptSwitch(request, way, place);
    case 'partition':
      return partitionSwitch(request, place);
  }
}

/** What a way adds to the volume. */
function ownPieces(request: LifeboatRequest, { volume, ...place }: Place): readonly Piece[] {
  const { way } = request;
  if (way.kind === 'mbr') return [coreImagePiece(way.coreImage, volume, place.startByte)];
  if (way.kind === 'gpt')
    return [{ startByte: entriesSector * sectorBytes, bytes: gptOf(request, way, place).entries }];
  return [];
}

function coreImagePiece(core: Uint8Array, volume: FatVolume, startByte: number): Piece {
  const place = volume.startOf(coreImagePath);
  return { startByte: place, bytes: placedCoreImage(core, (startByte + place) / sectorBytes) };
}

function mbrSwitch(
  { disk }: LifeboatRequest,
  { bootImage }: { bootImage: Uint8Array },
  { volume, startByte, sizeBytes }: Place,
): Pick<LifeboatRecord, 'switch' | 'partition'> {
  const bytes = mbrSector({
    bootImage,
    coreSector: (startByte + volume.startOf(coreImagePath)) / sectorBytes,
    diskId: disk.tableId,
    partition: { startSector: startByte / sectorBytes, sectors: sizeBytes / sectorBytes },
  });
  return {
    switch: { startByte: 0, bytes: Buffer.from(bytes).toString('base64') },
    // As Linux names the partition of an MBR (block/partitions/msdos.c).
    partition: { number: 4, uuid: `${disk.tableId}-04` },
  };
}

function partitionSwitch(
  { disk }: LifeboatRequest,
  { startByte, sizeBytes }: Place,
): Pick<LifeboatRecord, 'switch' | 'partition'> {
  const bytes = lifeboatSector({
    diskId: disk.tableId,
    number: 1,
    startSector: startByte / sectorBytes,
    sectors: sizeBytes / sectorBytes,
  });
  return {
    switch: { startByte: 0, bytes: Buffer.from(bytes).toString('base64') },
    partition: { number: 1, uuid: `${disk.tableId}-01` },
  };
}

function gptSwitch(
  request: LifeboatRequest,
  way: LifeboatWay & { kind: 'gpt' },
  place: { startByte: number; sizeBytes: number },
): Pick<LifeboatRecord, 'switch' | 'backup' | 'partition'> {
  const { header, backup } = gptOf(request, way, place);
  const write = (startByte: number, bytes: Uint8Array): SectorWrite => ({
    startByte,
    bytes: Buffer.from(bytes).toString('base64'),
  });
  return {
    switch: write(sectorBytes, header),
    backup: write(request.disk.sizeBytes - sectorBytes, backup),
    partition: { number: 1, uuid: way.partitionGuid },
  };
}

function gptOf(
  { disk }: LifeboatRequest,
  { partitionGuid }: { partitionGuid: string },
  { startByte, sizeBytes }: { startByte: number; sizeBytes: number },
) {
  return gptSectors({
    sectorBytes,
    diskSectors: disk.sizeBytes / sectorBytes,
    diskGuid: disk.tableId,
    entriesSector: startByte / sectorBytes + entriesSector,
    partition: {
      startSector: startByte / sectorBytes,
      sectors: sizeBytes / sectorBytes,
      guid: partitionGuid,
      name: 'lifeboat',
    },
  });
}
