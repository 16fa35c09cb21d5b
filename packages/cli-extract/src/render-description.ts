// What `balena-extract info` says of an image.
import type { FileSystemSetting } from '@migrate/core';
import { type ImageDescription, isFlasherDeviceType, type PartitionDescription } from '@migrate/image-tools';

export interface DescribedFile {
  readonly path: string;
  /** As it is packed: raw, gzip, zip… */
  readonly container: string;
  readonly fileBytes: number;
}

const mebibyte = 1024 * 1024;
/** Gaps below are alignment. */
const smallestGapBytes = 8 * mebibyte;

/** For a person: what it is, where everything lies, and what to do next. */
export function renderDescription(file: DescribedFile, image: ImageDescription): string {
  const sections = [
    [file.path, ...facts(file, image)],
    ['Disk', ...diskMap(image)],
    ['What to do next', ...nextSteps(file, image).map((step) => `  ${step}`)],
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

const kinds = {
  'balena-raw': 'balenaOS as it runs from a disk (raw)',
  'balena-flasher': 'balenaOS flasher: a medium that installs the image inside of it onto another disk',
  unknown: 'unknown: not the partitions of balenaOS',
};

function facts(file: DescribedFile, image: ImageDescription): string[] {
  const { inspection, innerImage, innerProblem } = image;
  const { table } = inspection;
  const rows: [string, string | undefined][] = [
    ['file', `${file.container}, ${mib(file.fileBytes)}`],
    ['image', mib(image.sizeBytes)],
    ['kind', kinds[inspection.kind]],
    ['device type', inspection.deviceType],
    ['version', inspection.version],
    [
      'table',
      `${table.kind.toUpperCase()} ${table.id}${table.backupAtEnd === false ? ', without a backup at its end' : ''}${inspection.sectorBytes === 512 ? '' : `, in sectors of ${inspection.sectorBytes} bytes`}`,
    ],
    ['boot code', image.hasBootCode ? 'before the first partition' : 'none outside of the partitions'],
    ['inside', innerImage === undefined ? innerProblem : `${innerImage.path}, ${mib(innerImage.sizeBytes)}`],
    ['its version', innerImage?.inspection.version],
  ];
  return rows.flatMap(([name, value]) => (value === undefined ? [] : [`  ${name.padEnd(12)} ${value}`]));
}

function diskMap(image: ImageDescription): string[] {
  const lines = [row(['', 'from', 'size', 'used', 'free', ''])];
  let endByte = 0;
  const gapBefore = (startByte: number): void => {
    if (startByte - endByte >= smallestGapBytes)
      lines.push(row(['gap', mib(endByte), mib(startByte - endByte), '', '', '']));
  };
  const ordered = [...image.partitions].sort((a, b) => a.partition.startByte - b.partition.startByte);
  for (const described of ordered) {
    const { startByte, sizeBytes } = described.partition;
    gapBefore(startByte);
    lines.push(partitionRow(described));
    endByte = described.isExtended ? Math.max(endByte, startByte) : startByte + sizeBytes;
  }
  gapBefore(image.sizeBytes);
  return lines;
}

function partitionRow({
  partition,
  isExtended,
  label,
  fileSystem,
  usedBytes,
  freeBytes,
  problem,
}: PartitionDescription) {
  const size = (bytes: number | undefined): string => (bytes === undefined ? '' : mib(bytes));
  const kind = isExtended ? 'extended' : (problem ?? fileSystemText(fileSystem));
  return row([
    `${partition.number}${partition.bootable ? '*' : ''}`,
    mib(partition.startByte),
    mib(partition.sizeBytes),
    size(usedBytes),
    size(freeBytes),
    [label, kind].filter(Boolean).join('  '),
  ]);
}

function fileSystemText(fileSystem: FileSystemSetting | undefined): string {
  if (fileSystem === undefined) return '';
  const { type, blockBytes, inodes, uuid } = fileSystem;
  const details = [
    blockBytes === undefined ? [] : `${type.startsWith('fat') ? 'clusters' : 'blocks'} of ${blockBytes}`,
    inodes === undefined ? [] : `${inodes} inodes`,
    uuid ?? [],
  ];
  return `${type} (${details.flat().join(', ')})`;
}

function row([number = '', from = '', size = '', used = '', free = '', text = '']: readonly string[]): string {
  const columns = [from, size, used, free].map((column) => column.padStart(12)).join('');
  return `  ${number.padEnd(4)}${columns}  ${text}`.trimEnd();
}

function nextSteps({ path, container }: DescribedFile, { inspection }: ImageDescription): string[] {
  const { kind, deviceType } = inspection;
  if (kind === 'balena-flasher') {
    return [
      'Take the inner image out, and give it to the migrator as balena.image.dd:',
      `  balena-extract ${path} --img balena.img.gz`,
    ];
  }
  if (kind === 'unknown') return ['Nothing: neither the migrator nor this tool can use it.'];
  const isFlasher = deviceType !== undefined && isFlasherDeviceType(deviceType);
  return [
    ...(container === 'gzip' || container === 'raw'
      ? ['Give it to the migrator as it is, as balena.image.dd;']
      : ['Give it to the migrator as balena.image.dd after:', `  balena-extract ${path} --img balena.img.gz`]),
    'or extract its partitions for balena.image.fs:',
    `  balena-extract ${path} -d ${deviceType ?? 'DEVICE-TYPE'}`,
    ...(isFlasher ? [`The download for ${deviceType} is a flasher image; this is what it installs.`] : []),
  ];
}

function mib(bytes: number): string {
  return `${(bytes / mebibyte).toFixed(1)} MiB`;
}
