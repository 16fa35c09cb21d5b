import {
  type ByteReader,
  gptSectorBytes,
  type ImageFacts,
  MigrateError,
  type Partition,
  type PartitionTable,
  readExactly,
  readFileSystemSignature,
  readPartitionTable,
  windowOf,
} from '@migrate/core';
import { freeBytesForFiles, readSuperblock } from '../ext4/superblock.ts';
import { readFatFile } from '../fat/fat-reader.ts';
import {
  type PartitionUse,
  readPartitionUse,
  realPartitions,
  type UseReaders,
  usedBlocksOf,
} from '../map/used-blocks.ts';

/** Images of balenaOS count in sectors of 512 bytes, whatever disk they are for. */
export const imageSectorBytes = 512;

export interface Inspection
  extends Pick<
    ImageFacts,
    'table' | 'kind' | 'labels' | 'deviceType' | 'version' | 'usedBlocks' | 'dataFreeBytes' | 'hasEmptyGap'
  > {
  /** What the partition table counts in: 4096 only in a GPT for disks with such sectors. */
  readonly sectorBytes: 512 | 4096;
}

export interface InspectOptions {
  /** Takes the backup GPT where the first one is damaged; only for readers that know their size. */
  readonly readsBackup?: boolean;
  /** Also works out which blocks are used, by these readers. */
  readonly useReaders?: UseReaders;
}

const rawLabels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];

/**
 * What an image is, by its partition table, its labels and the files of its boot partition. Partitions are read one after the
 * other as they lie, so that a stream is not sent back but for the boot files.
 */
export async function inspectImage(
  reader: ByteReader,
  { readsBackup = false, useReaders }: InspectOptions = {},
): Promise<Inspection> {
  const sectorBytes = (await gptSectorBytes(reader)) ?? imageSectorBytes;
  const table = await readPartitionTable(reader, sectorBytes, { readsBackup });
  if (table === undefined)
    throw new MigrateError('wrong-image', 'it has no partition table, so it is no image of a disk');
  const hasEmptyGap = await isGapEmpty(reader, table);
  const found = new Map<number, string>();
  const uses: PartitionUse[] = [];
  let boot: BootFiles | undefined;
  let dataFreeBytes: number | undefined;
  for (const partition of realPartitions(table)) {
    const isNamed = partition.name !== undefined && balenaLabel.test(partition.name);
    const signature =
      isNamed && useReaders === undefined ? undefined : await readFileSystemSignature(reader, partition.startByte);
    const label = isNamed ? partition.name : (signature?.label ?? partition.name);
    if (label !== undefined) found.set(partition.number, label);
    if (useReaders !== undefined) {
      const known = signature === undefined ? {} : { signature };
      uses.push(await readPartitionUse(reader, { partition, readers: useReaders, ...known }));
    }
    if (label === 'resin-data') dataFreeBytes ??= await freeBytesOfExt(reader, partition);
    if (label === 'resin-boot' || label === 'flash-boot') boot ??= await readBootFiles(reader, partition);
  }
  const labels = labelsOf(table, found);
  return {
    table,
    sectorBytes,
    kind: kindOf(labels),
    labels,
    ...boot,
    ...(dataFreeBytes === undefined ? {} : { dataFreeBytes }),
    ...(hasEmptyGap ? { hasEmptyGap } : {}),
    ...(useReaders === undefined ? {} : { usedBlocks: usedBlocksOf(table, uses, reader.sizeBytes) }),
  };
}

/** More is not looked at: images begin their first partition at 4 or 8 MiB. */
const largestGapBytes = 16 * 1024 * 1024;
const gapPieceBytes = 64 * 1024;

/** Whether all is zero between an MBR and the first partition. */
async function isGapEmpty(reader: ByteReader, table: PartitionTable): Promise<boolean> {
  const endByte = Math.min(...table.partitions.map(({ startByte }) => startByte));
  if (table.kind !== 'mbr' || endByte > largestGapBytes) return false;
  for (let position = imageSectorBytes; position < endByte; position += gapPieceBytes) {
    const bytes = await readExactly(reader, position, Math.min(gapPieceBytes, endByte - position));
    if (bytes === undefined || bytes.some((byte) => byte !== 0)) return false;
  }
  return true;
}

/** What balenaOS calls its partitions; of a secure-boot image only the boot partitions are called balena. */
const balenaLabel = /^((resin|flash)-(boot|rootA|rootB|state|data)|balena-(boot|efi))$/;

/** Label → index into the table: the GPT's names where they are balenaOS's, else the labels of the file systems. */
function labelsOf(table: PartitionTable, found: ReadonlyMap<number, string>): Record<string, number> {
  const labels: Record<string, number> = {};
  for (const [index, { number }] of table.partitions.entries()) {
    const label = found.get(number);
    if (label !== undefined) labels[label] ??= index;
  }
  return labels;
}

function kindOf(labels: Readonly<Record<string, number>>): ImageFacts['kind'] {
  if (labels['flash-boot'] !== undefined && labels['flash-rootA'] !== undefined) return 'balena-flasher';
  return rawLabels.every((label) => labels[label] !== undefined) ? 'balena-raw' : 'unknown';
}

/** Bytes that files can still take; undefined where the partition holds no sound ext file system. */
async function freeBytesOfExt(reader: ByteReader, partition: Partition): Promise<number | undefined> {
  try {
    const superblock = await readSuperblock(windowOf(reader, partition.startByte, partition.sizeBytes));
    // One that was not unmounted may count wrongly.
    return superblock.isClean ? freeBytesForFiles(superblock) : undefined;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code === 'read-failed') throw thrown;
    return undefined;
  }
}

type BootFiles = Pick<Inspection, 'deviceType' | 'version'>;

async function readBootFiles(reader: ByteReader, boot: Partition): Promise<BootFiles> {
  const read = async (path: string): Promise<string | undefined> => {
    const bytes = await readFatFile(reader, boot.startByte, path);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  };
  const deviceType = slugOf(await read('/device-type.json'));
  const version = /^VERSION="?([^"\n]+)"?$/m.exec((await read('/os-release')) ?? '')?.[1];
  return { ...(deviceType === undefined ? {} : { deviceType }), ...(version === undefined ? {} : { version }) };
}

function slugOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    const { slug } = JSON.parse(text) as { slug?: unknown };
    if (typeof slug === 'string') return slug;
  } catch {
    // Falls through to the one error below.
  }
  throw new MigrateError('wrong-image', 'device-type.json in its boot partition is damaged');
}
