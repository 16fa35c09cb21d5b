import {
  type ByteWriter,
  configJsonPath,
  connectionPath,
  doing,
  type Finding,
  MigrateError,
  type Partition,
  refuses,
  windowOf,
} from '@migrate/core';
import { openFat } from '../fat/fat-reader.ts';
import { type FatFile, writeFatFiles } from '../fat/fat-writer.ts';
import { type Inspection, inspectImage } from '../inspect/inspect-image.ts';
import { checkConfiguration, type ImageConfiguration } from './check-configuration.ts';

/** The partition that a configuration goes to: the flasher copies it from its own into that of the disk it installs. */
export type BootLabel = 'resin-boot' | 'flash-boot';

export interface ConfigureResult {
  /** Errors and warnings about the configuration. With an error nothing was written. */
  readonly findings: readonly Finding[];
  /** Paths in the partition, all of them read back. */
  readonly written?: { readonly partition: BootLabel; readonly paths: readonly string[] };
}

export interface ConfigureRequest {
  /** A raw image, or the disk or card that it was written to. */
  readonly image: ByteWriter;
  readonly configuration: ImageConfiguration;
  /** Time that the files get. */
  readonly modified: Date;
}

/**
 * Writes config.json and connection files into the boot partition of a balenaOS image, and reads them back. Files of the same
 * names are replaced, all else stays to the byte. Throws `wrong-image` for what is no balenaOS image, `no-space` where the
 * partition is full, `invalid-input` where it is damaged, all before the first write; `verify-mismatch` where what was written
 * does not read the same.
 */
export async function configureImage({ image, configuration, modified }: ConfigureRequest): Promise<ConfigureResult> {
  const inspection = await inspectImage(image);
  const { label, partition } = bootPartition(inspection);
  const findings = checkConfiguration(configuration, inspection);
  if (refuses(findings)) return { findings };
  const files: readonly FatFile[] = [
    { path: configJsonPath, contents: configuration.configJson.contents },
    ...configuration.connections.map(({ name, contents }) => ({ path: connectionPath(name), contents })),
  ];
  const target = partitionWriter(image, partition);
  await doing(`writing into ${label}`, 'write-failed', () => writeFatFiles(target, { files, modified }));
  await doing(`reading ${label} back`, 'read-failed', () => readBack(target, files));
  return { findings, written: { partition: label, paths: files.map(({ path }) => path) } };
}

function bootPartition({ kind, labels, table }: Inspection): { label: BootLabel; partition: Partition } {
  const label = kind === 'balena-flasher' ? 'flash-boot' : 'resin-boot';
  const index = kind === 'unknown' ? undefined : labels[label];
  const partition = index === undefined ? undefined : table.partitions[index];
  if (partition === undefined) {
    const found = Object.keys(labels).join(', ') || 'none';
    throw new MigrateError('wrong-image', `it is no balenaOS image; labels of its partitions: ${found}`);
  }
  return { label, partition };
}

/** A partition as a writer of its own; nothing can be written outside of it. */
function partitionWriter(image: ByteWriter, { startByte, sizeBytes }: Partition): ByteWriter {
  return {
    ...windowOf(image, startByte, sizeBytes),
    write: async (source, position) => {
      if (position < 0 || position + source.length > sizeBytes) {
        throw new MigrateError('write-failed', `byte ${position + source.length} is beyond the end of the partition`);
      }
      await image.write(source, startByte + position);
    },
    flush: () => image.flush(),
  };
}

async function readBack(partition: ByteWriter, files: readonly FatFile[]): Promise<void> {
  const volume = await openFat(partition);
  for (const { path, contents } of files) {
    const found = await volume.readFile(path, contents.length);
    if (!Buffer.from(found).equals(contents))
      throw new MigrateError('verify-mismatch', `${path} reads other than it was written`);
  }
}
