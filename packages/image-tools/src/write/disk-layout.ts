// Where the partitions of a disk go that is written file system by file system. Pure.
import {
  type FsImageSetting,
  MigrateError,
  type PartitionArchive,
  type PartitionName,
  partitionNames,
} from '@migrate/core';

/** A partition to be made. Sectors are the disk's own. */
export interface PlannedPartition {
  readonly name: PartitionName;
  /** Label of the file system, and partition name in a GPT. */
  readonly label: string;
  /** As Linux counts: logical partitions of an MBR start at 5. */
  readonly number: number;
  readonly startSector: number;
  readonly sectors: number;
  /** Two hex digits (MBR) or an upper-case GUID (GPT). */
  readonly type: string;
  /** GPT: lower-case GUID of the partition; random where it was not recorded. */
  readonly uuid?: string;
}

export interface DiskLayout {
  readonly table: 'mbr' | 'gpt';
  /** Logical sector size of the disk in bytes. */
  readonly sectorBytes: number;
  /** MBR signature (8 hex digits) or disk GUID; random where it was not recorded. */
  readonly diskId?: string;
  /** In the order of their numbers. */
  readonly partitions: readonly PlannedPartition[];
  /** MBR: the partition 4 that holds 5 and 6. */
  readonly extended?: { readonly startSector: number; readonly sectors: number };
}

export interface DiskShape {
  readonly sizeBytes: number;
  /** Logical sector size in bytes: 512 or 4096. */
  readonly sectorBytes: number;
}

/** All sizes of the configuration count blocks of this many bytes. */
export const blockBytes = 512;
/** balenaOS aligns to 4 MiB and leaves as much for the table and boot code (meta-balena, image_types_balena.bbclass). */
const alignmentBytes = 4 * 1024 * 1024;
/** Entries of a GPT; with the header's sector there are two such tables (UEFI specification 2.10, 5.3.1). */
export const gptEntryBytes = 16 * 1024;
/** MBR fields have 32 bits. */
const mbrSectorLimit = 2 ** 32 - 1;

const settingNames = { boot: 'boot', rootA: 'root_a', rootB: 'root_b', state: 'state', data: 'data' } as const;
const labels = {
  boot: 'resin-boot',
  rootA: 'resin-rootA',
  rootB: 'resin-rootB',
  state: 'resin-state',
  data: 'resin-data',
} as const;

/** Device types whose images have a GPT (their layers of meta-balena set PARTITION_TABLE_TYPE); all others have an MBR. */
const gptDeviceTypes = /^(generic-amd64$|jetson-)/;

const efiSystem = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B';
const linuxData = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';

/**
 * The layout that `balena.image.fs` asks for on a disk. Recorded starts are kept; where none are recorded, partitions follow
 * each other at multiples of 4 MiB, logical ones with 4 MiB before them for their table, as balenaOS images have it. With
 * `max_data` the last partition ends at the last multiple of 4 MiB. Throws `invalid-input` naming the setting for numbers that
 * contradict each other, `no-space` where the disk is too small.
 */
export function layoutOf(setting: FsImageSetting, disk: DiskShape): DiskLayout {
  const table = setting.table ?? (gptDeviceTypes.test(setting.deviceSlug) ? 'gpt' : 'mbr');
  const scale = disk.sectorBytes / blockBytes;
  if (!Number.isInteger(scale) || scale < 1)
    throw new MigrateError('unsupported', `disks with sectors of ${disk.sectorBytes} bytes are not supported`);
  const spaces = placeAll(setting, table, disk.sectorBytes);
  const dataSpace = spaces.data;
  const endByte = usableEndByte(disk, table);
  const neededBytes = dataSpace.startByte + dataSpace.sizeBytes;
  if (neededBytes > endByte) {
    throw new MigrateError(
      'no-space',
      `the partitions of balena.image.fs need ${neededBytes} bytes, the disk has ${endByte} for them`,
    );
  }
  if (setting.maxData) dataSpace.sizeBytes = Math.max(dataSpace.sizeBytes, alignDown(endByte) - dataSpace.startByte);
  const partitions = partitionNames.map((name, index): PlannedPartition => {
    const { startByte, sizeBytes } = spaces[name];
    const recorded = setting.partitions[name];
    if (startByte % disk.sectorBytes !== 0)
      throw invalid(
        name,
        `starts at block ${startByte / blockBytes}, between two sectors of ${disk.sectorBytes} bytes`,
      );
    return {
      name,
      label: checkedLabel(name, recorded.fileSystem?.label ?? labels[name]),
      number: table === 'mbr' && index >= 3 ? index + 2 : index + 1,
      startSector: startByte / disk.sectorBytes,
      sectors: Math.ceil(sizeBytes / disk.sectorBytes),
      type: checkedType(name, table, recorded.type ?? defaultType(table, name, recorded)),
      ...(table === 'gpt' && recorded.uuid !== undefined ? { uuid: recorded.uuid } : {}),
    };
  });
  return {
    table,
    sectorBytes: disk.sectorBytes,
    ...(setting.diskId === undefined ? {} : { diskId: setting.diskId }),
    partitions,
    ...(table === 'mbr' ? { extended: extendedOf(setting, spaces, { endByte, sectorBytes: disk.sectorBytes }) } : {}),
  };
}

interface Space {
  readonly startByte: number;
  sizeBytes: number;
}

type Spaces = Record<PartitionName, Space>;

function placeAll(setting: FsImageSetting, table: 'mbr' | 'gpt', sectorBytes: number): Spaces {
  let endByte = 0;
  const place = (name: PartitionName): Space => {
    const recorded: PartitionArchive | undefined = setting.partitions[name];
    if (recorded === undefined) throw invalid(name, 'is missing');
    const sizeBytes = recorded.blocks * blockBytes;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0)
      throw invalid(name, `cannot have ${recorded.blocks} blocks`);
    const isLogical = table === 'mbr' && (name === 'state' || name === 'data');
    // The first partition leaves room for the table, a logical one for the extended boot record before it.
    const room = name === 'boot' || isLogical ? alignmentBytes : 0;
    const startByte =
      recorded.startBlock === undefined
        ? alignUp(endByte) + room
        : checkedStart(name, recorded.startBlock * blockBytes);
    // Sectors 0 and 1 with the entries of a GPT, and the sector of an extended boot record.
    const taken = name === 'boot' ? gptEntryBytes + 2 * sectorBytes : isLogical ? sectorBytes : 0;
    const minimumByte = endByte + taken;
    if (startByte < minimumByte)
      throw invalid(name, `starts at block ${startByte / blockBytes}, inside what lies before it`);
    endByte = startByte + sizeBytes;
    return { startByte, sizeBytes };
  };
  return {
    boot: place('boot'),
    rootA: place('rootA'),
    rootB: place('rootB'),
    state: place('state'),
    data: place('data'),
  };
}

/**
 * From the first multiple of 4 MiB behind rootB to the end of data. A recorded size that does not reach so far starts later,
 * as close before state as it says; a larger one is kept where the disk has room.
 */
function extendedOf(
  { extendedBlocks, maxData }: FsImageSetting,
  { rootB, state, data }: Spaces,
  { endByte, sectorBytes }: { endByte: number; sectorBytes: number },
): { startSector: number; sectors: number } {
  const rootEnd = rootB.startByte + rootB.sizeBytes;
  const dataEnd = data.startByte + data.sizeBytes;
  const latest = state.startByte - sectorBytes;
  const earliest = Math.min(alignUp(rootEnd), latest);
  const recordedBytes = maxData || extendedBlocks === undefined ? undefined : extendedBlocks * blockBytes;
  const startByte = Math.max(earliest, dataEnd - (recordedBytes ?? dataEnd));
  if (startByte > latest) {
    const neededBlocks = (dataEnd - earliest) / blockBytes;
    throw new MigrateError(
      'invalid-input',
      `balena.image.fs.extended_blocks is ${extendedBlocks}, but state and data need ${neededBlocks}; leave it out`,
    );
  }
  const sizeBytes = Math.max(recordedBytes ?? 0, dataEnd - startByte);
  if (startByte + sizeBytes > endByte) {
    throw new MigrateError(
      'no-space',
      `the extended partition of ${sizeBytes} bytes ends beyond the disk, which has ${endByte} bytes`,
    );
  }
  return { startSector: Math.floor(startByte / sectorBytes), sectors: Math.ceil(sizeBytes / sectorBytes) };
}

function usableEndByte({ sizeBytes, sectorBytes }: DiskShape, table: 'mbr' | 'gpt'): number {
  if (table === 'mbr') return Math.min(sizeBytes, mbrSectorLimit * sectorBytes);
  return sizeBytes - gptEntryBytes - sectorBytes;
}

function defaultType(table: 'mbr' | 'gpt', name: PartitionName, { fileSystem }: PartitionArchive): string {
  if (table === 'gpt') return name === 'boot' ? efiSystem : linuxData;
  if (name !== 'boot') return '83';
  return fileSystem?.type === 'fat32' ? '0c' : '0e';
}

function checkedStart(name: PartitionName, startByte: number): number {
  if (!Number.isSafeInteger(startByte)) throw invalid(name, 'starts beyond every disk');
  return startByte;
}

/** The label also becomes a word of sfdisk's script. */
function checkedLabel(name: PartitionName, label: string): string {
  const longest = name === 'boot' ? 11 : 16;
  if (label.length > longest || !/^[\w.+-]+$/.test(label))
    throw invalid(name, `cannot have the label ${JSON.stringify(label)}: up to ${longest} letters, digits and . _ + -`);
  return label;
}

function checkedType(name: PartitionName, table: 'mbr' | 'gpt', type: string): string {
  const wanted = table === 'mbr' ? /^[0-9a-f]{2}$/ : /^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/;
  if (!wanted.test(type)) throw invalid(name, `has the type ${type}, which is none of the table's kind (${table})`);
  return type;
}

function alignUp(byte: number): number {
  return Math.ceil(byte / alignmentBytes) * alignmentBytes;
}

function alignDown(byte: number): number {
  return Math.floor(byte / alignmentBytes) * alignmentBytes;
}

function invalid(name: PartitionName, why: string): MigrateError {
  return new MigrateError('invalid-input', `balena.image.fs.${settingNames[name]} ${why}`);
}
