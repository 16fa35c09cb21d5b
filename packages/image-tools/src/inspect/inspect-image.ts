import {
  type ByteReader,
  type ImageFacts,
  MigrateError,
  type Partition,
  type PartitionTable,
  readFileSystemSignature,
  readPartitionTable,
} from '@migrate/core';
import { readFatFile } from '../fat/fat-reader.ts';

/** Images count in sectors of 512 bytes, whatever disk they are for. */
export const imageSectorBytes = 512;

export type Inspection = Pick<ImageFacts, 'table' | 'kind' | 'labels' | 'deviceType' | 'version'>;

const rawLabels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];

/** What an image is, by its partition table, its labels and the files of its boot partition. */
export async function inspectImage(reader: ByteReader): Promise<Inspection> {
  const table = await readPartitionTable(reader, imageSectorBytes, { readsBackup: false });
  if (table === undefined)
    throw new MigrateError('wrong-image', 'it has no partition table, so it is no image of a disk');
  const labels = await readLabels(reader, table);
  const bootIndex = labels['resin-boot'] ?? labels['flash-boot'];
  const boot = bootIndex === undefined ? undefined : table.partitions[bootIndex];
  const files = boot === undefined ? {} : await readBootFiles(reader, boot);
  return { table, kind: kindOf(labels), labels, ...files };
}

/** What balenaOS calls its partitions; of a secure-boot image only the boot partitions are called balena. */
const balenaLabel = /^((resin|flash)-(boot|rootA|rootB|state|data)|balena-(boot|efi))$/;

/** Label → index into the table: the GPT's names where they are balenaOS's, else the labels of the file systems. */
async function readLabels(reader: ByteReader, table: PartitionTable): Promise<Record<string, number>> {
  const labels: Record<string, number> = {};
  for (const [index, partition] of table.partitions.entries()) {
    const isNamed = partition.name !== undefined && balenaLabel.test(partition.name);
    const label = isNamed
      ? partition.name
      : ((await readFileSystemSignature(reader, partition.startByte))?.label ?? partition.name);
    if (label !== undefined && labels[label] === undefined) labels[label] = index;
  }
  return labels;
}

function kindOf(labels: Readonly<Record<string, number>>): ImageFacts['kind'] {
  if (labels['flash-boot'] !== undefined && labels['flash-rootA'] !== undefined) return 'balena-flasher';
  return rawLabels.every((label) => labels[label] !== undefined) ? 'balena-raw' : 'unknown';
}

async function readBootFiles(reader: ByteReader, boot: Partition): Promise<Pick<Inspection, 'deviceType' | 'version'>> {
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
