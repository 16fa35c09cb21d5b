import type { FromSchema } from 'json-schema-to-ts';
import {
  bytes,
  flag,
  guid,
  known,
  listOf,
  many,
  named,
  plainText,
  type Scalar,
  scalar,
  shapeOf,
  wholeNumber,
} from './shapes.ts';
import type { BitLocker, WindowsDisk, WindowsFacts, WindowsVolume, WindowsVolumePartition } from './windows-facts.ts';

const volumeSchema = {
  type: 'object',
  properties: {
    path: scalar,
    fileSystem: scalar,
    label: scalar,
    sizeBytes: scalar,
    freeBytes: scalar,
    serial: scalar,
  },
} as const;

const partitionSchema = {
  type: 'object',
  required: ['number', 'offsetBytes', 'sizeBytes'],
  properties: {
    number: scalar,
    offsetBytes: scalar,
    sizeBytes: scalar,
    gptType: scalar,
    mbrType: scalar,
    guid: scalar,
    driveLetter: scalar,
    isBoot: scalar,
    isSystem: scalar,
    volume: { anyOf: [{ type: 'null' }, volumeSchema] },
    bitLocker: {
      type: ['object', 'null'],
      properties: { protectionStatus: scalar, conversionStatus: scalar },
    },
    supportedSize: { type: ['object', 'null'], properties: { minimumBytes: scalar, maximumBytes: scalar } },
  },
} as const;

const diskSchema = {
  type: 'object',
  required: ['number', 'sizeBytes'],
  properties: {
    number: scalar,
    model: scalar,
    guid: scalar,
    sizeBytes: scalar,
    logicalSectorBytes: scalar,
    partitionStyle: scalar,
    busType: scalar,
    isOffline: scalar,
    isReadOnly: scalar,
    partitions: many(partitionSchema),
  },
} as const;

const schema = {
  type: 'object',
  required: ['disks'],
  properties: { bitLocker: scalar, disks: many(diskSchema) },
} as const;

type PrintedPartition = FromSchema<typeof partitionSchema>;
type PrintedDisk = FromSchema<typeof diskSchema>;
interface PrintedDisks {
  readonly bitLocker?: Scalar;
  readonly disks: PrintedDisk | readonly PrintedDisk[] | null;
}

const shape = shapeOf<PrintedDisks>('read-disks', schema);

/** PartitionStyle of MSFT_Disk. */
const tables = { '0': 'none', '1': 'mbr', '2': 'gpt', RAW: 'none', Unknown: 'none', MBR: 'mbr', GPT: 'gpt' } as const;
/** BusType of MSFT_Disk; 5.1 may print the number. */
const buses: Readonly<Record<string, string>> = {
  '1': 'SCSI',
  '2': 'ATAPI',
  '3': 'ATA',
  '4': '1394',
  '6': 'Fibre Channel',
  '7': 'USB',
  '8': 'RAID',
  '9': 'iSCSI',
  '10': 'SAS',
  '11': 'SATA',
  '12': 'SD',
  '13': 'MMC',
  '15': 'File Backed Virtual',
  '16': 'Spaces',
  '17': 'NVMe',
};
/** Win32_EncryptableVolume.GetProtectionStatus and .GetConversionStatus. */
const protections = { '0': 'off', '1': 'on', '2': 'unknown' } as const;
const conversions = {
  '0': 'decrypted',
  '1': 'encrypted',
  '2': 'encrypting',
  '3': 'decrypting',
  '4': 'paused',
  '5': 'paused',
} as const;

/** What read-disks prints. Throws `invalid-input` for anything else. */
export function parseDisks(printed: unknown): Pick<WindowsFacts, 'disks' | 'bitLocker'> {
  const { disks, bitLocker } = shape(printed);
  return {
    bitLocker: bitLocker === 'read' || bitLocker === 'absent' ? bitLocker : 'unknown',
    disks: listOf(disks)
      .map(parseDisk)
      .sort((a, b) => a.number - b.number),
  };
}

function parseDisk(disk: PrintedDisk): WindowsDisk {
  const number = bytes(disk.number, 'read-disks: the number of a disk');
  const bus = plainText(disk.busType);
  return {
    number,
    ...known({ model: plainText(disk.model), guid: guid(disk.guid) }),
    sizeBytes: bytes(disk.sizeBytes, `read-disks: the size of disk ${number}`),
    logicalSectorBytes: wholeNumber(disk.logicalSectorBytes) ?? 512,
    table: named(disk.partitionStyle, tables) ?? 'unknown',
    bus: bus === undefined ? 'bus unknown' : (buses[bus] ?? (/^\d+$/.test(bus) ? `bus ${bus}` : bus)),
    isOffline: flag(disk.isOffline),
    isReadOnly: flag(disk.isReadOnly),
    partitions: listOf(disk.partitions as PrintedPartition | readonly PrintedPartition[] | null | undefined)
      .map((partition) => parsePartition(partition, number))
      .sort((a, b) => a.offsetBytes - b.offsetBytes),
  };
}

function parsePartition(partition: PrintedPartition, disk: number): WindowsVolumePartition {
  const number = bytes(partition.number, `read-disks: the number of a partition of disk ${disk}`);
  const what = `read-disks: partition ${number} of disk ${disk}`;
  const { volume, bitLocker, supportedSize } = partition;
  const minimumBytes = wholeNumber(supportedSize?.minimumBytes);
  const maximumBytes = wholeNumber(supportedSize?.maximumBytes);
  return {
    number,
    offsetBytes: bytes(partition.offsetBytes, what),
    sizeBytes: bytes(partition.sizeBytes, what),
    ...known({
      type: guid(partition.gptType),
      mbrType: wholeNumber(partition.mbrType),
      guid: guid(partition.guid),
      driveLetter: plainText(partition.driveLetter),
    }),
    isBoot: flag(partition.isBoot),
    isSystem: flag(partition.isSystem),
    ...(volume === null || volume === undefined ? {} : { volume: parseVolume(volume) }),
    ...(bitLocker === null || bitLocker === undefined ? {} : { bitLocker: parseBitLocker(bitLocker) }),
    ...(minimumBytes === undefined || maximumBytes === undefined
      ? {}
      : { supportedSize: { minimumBytes, maximumBytes } }),
  };
}

function parseVolume(volume: FromSchema<typeof volumeSchema>): WindowsVolume {
  const fileSystem = plainText(volume.fileSystem) ?? '';
  const serial = wholeNumber(volume.serial);
  return {
    path: plainText(volume.path) ?? '',
    fileSystem,
    label: plainText(volume.label) ?? '',
    sizeBytes: wholeNumber(volume.sizeBytes) ?? 0,
    freeBytes: wholeNumber(volume.freeBytes) ?? 0,
    ...(serial !== undefined && /^FAT/i.test(fileSystem) ? { uuid: fatUuid(serial) } : {}),
  };
}

/** Some versions print the serial number of a volume as a signed number. */
function fatUuid(serial: number): string {
  const hex = (serial >>> 0).toString(16).toUpperCase().padStart(8, '0');
  return `${hex.slice(0, 4)}-${hex.slice(4)}`;
}

function parseBitLocker(status: { readonly protectionStatus?: Scalar; readonly conversionStatus?: Scalar }): BitLocker {
  return {
    protection: named(status.protectionStatus, protections) ?? 'unknown',
    conversion: named(status.conversionStatus, conversions) ?? 'unknown',
  };
}
