// What a lifeboat is made of: a FAT volume with everything that stage 2 needs, and the one sector that makes the firmware boot it.
// Pure but for the bytes that it is given.
import {
  type FatVolume,
  freeReservedSector,
  layOutFatVolume,
  type Piece,
  reservedSectors,
  type VolumeFile,
} from './fat-volume.ts';
import { gptEntriesBytes, gptSectors } from './gpt-sectors.ts';
import { mbrSector, placedCoreImage } from './mbr-sector.ts';

const sectorBytes = 512;
/** Firmware and kernels like it; flash media too. */
export const regionAlignBytes = 1024 * 1024;
/** The table of a GPT lies behind what FAT needs of the reserved sectors. */
const entriesSector = freeReservedSector;
const coreImagePath = 'boot/core.img';
/** What stage 2 reads: how to switch to this lifeboat. */
export const switchPath = 'lifeboat.json';

/** One write that is a single sector. */
export interface SectorWrite {
  readonly startByte: number;
  /** Base64. */
  readonly bytes: string;
}

/** Stored in the lifeboat; plain data. */
export interface LifeboatRecord {
  /** On the disk. */
  readonly startByte: number;
  readonly sizeBytes: number;
  /** Makes the firmware boot the lifeboat. */
  readonly switch: SectorWrite;
  /** GPT: the backup header, for a primary one that a power cut tore. */
  readonly backup?: SectorWrite;
}

export interface LifeboatRequest {
  readonly files: readonly VolumeFile[];
  readonly way: LifeboatWay;
  readonly serial: string;
  readonly time: Date;
  readonly disk: { readonly sizeBytes: number; readonly tableId: string };
}

/**
 * How the firmware is made to boot the lifeboat: by sector 0 with boot code that starts a core image in it, and a table that has it as
 * partition 4; or by the header of a GPT whose only partition it is.
 */
export type LifeboatWay =
  | { readonly kind: 'mbr'; readonly bootImage: Uint8Array; readonly coreImage: Uint8Array }
  | { readonly kind: 'gpt'; readonly partitionGuid: string };

export interface LifeboatContents {
  /** A multiple of `regionAlignBytes`. */
  readonly sizeBytes: number;
  /** Where the contents of one of the files begin, from the lifeboat's start. */
  startOf(path: string): number;
  /** Everything but the contents of files, for a lifeboat that begins at that byte of its disk. */
  pieces(startByte: number): readonly Piece[];
  record(startByte: number): LifeboatRecord;
}

/** The record is as long wherever the lifeboat lies. */
const recordBytes = 4096;

export function layOutLifeboat(request: LifeboatRequest): LifeboatContents {
  const { files, way, serial, time } = request;
  const own: VolumeFile[] = [{ path: switchPath, sizeBytes: recordBytes }];
  if (way.kind === 'mbr')
    own.push({ path: coreImagePath, sizeBytes: Math.ceil(way.coreImage.length / sectorBytes) * sectorBytes });
  const volume = layOutFatVolume({ files: [...own, ...files], serial, label: 'LIFEBOAT', time });
  const sizeBytes = Math.ceil(volume.sizeBytes / regionAlignBytes) * regionAlignBytes;
  const record = (startByte: number): LifeboatRecord => ({
    startByte,
    sizeBytes,
    ...(way.kind === 'mbr'
      ? mbrSwitch(request, way, { volume, startByte, sizeBytes })
      : gptSwitch(request, way, { startByte, sizeBytes })),
  });
  return {
    sizeBytes,
    startOf: volume.startOf,
    record,
    pieces: (startByte) => [
      ...volume.metadata(startByte / sectorBytes),
      {
        startByte: volume.startOf(switchPath),
        bytes: Buffer.from(JSON.stringify(record(startByte)).padEnd(recordBytes)),
      },
      ...(way.kind === 'mbr'
        ? [coreImagePiece(way.coreImage, volume, startByte)]
        : [{ startByte: entriesSector * sectorBytes, bytes: gptOf(request, way, { startByte, sizeBytes }).entries }]),
    ],
  };
}

function coreImagePiece(core: Uint8Array, volume: FatVolume, startByte: number): Piece {
  const place = volume.startOf(coreImagePath);
  return { startByte: place, bytes: placedCoreImage(core, (startByte + place) / sectorBytes) };
}

function mbrSwitch(
  { disk }: LifeboatRequest,
  { bootImage }: { bootImage: Uint8Array },
  { volume, startByte, sizeBytes }: { volume: FatVolume; startByte: number; sizeBytes: number },
): Pick<LifeboatRecord, 'switch'> {
  const bytes = mbrSector({
    bootImage,
    coreSector: (startByte + volume.startOf(coreImagePath)) / sectorBytes,
    diskId: disk.tableId,
    partition: { startSector: startByte / sectorBytes, sectors: sizeBytes / sectorBytes },
  });
  return { switch: { startByte: 0, bytes: Buffer.from(bytes).toString('base64') } };
}

function gptSwitch(
  request: LifeboatRequest,
  way: LifeboatWay & { kind: 'gpt' },
  place: { startByte: number; sizeBytes: number },
): Pick<LifeboatRecord, 'switch' | 'backup'> {
  const { header, backup } = gptOf(request, way, place);
  const write = (startByte: number, bytes: Uint8Array): SectorWrite => ({
    startByte,
    bytes: Buffer.from(bytes).toString('base64'),
  });
  return { switch: write(sectorBytes, header), backup: write(request.disk.sizeBytes - sectorBytes, backup) };
}

function gptOf(
  { disk }: LifeboatRequest,
  { partitionGuid }: { partitionGuid: string },
  { startByte, sizeBytes }: { startByte: number; sizeBytes: number },
) {
  if (entriesSector * sectorBytes + gptEntriesBytes > reservedSectors * sectorBytes)
    throw new Error('no room for the table of a GPT');
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
