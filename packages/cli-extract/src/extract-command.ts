import { dirname, resolve } from 'node:path';
import {
  type ByteReader,
  type Emit,
  exitCodes,
  type FsImageSetting,
  MigrateError,
  renderJson,
  renderLines,
} from '@migrate/core';
import {
  archiveNames,
  ddSnippet,
  extractPartitions,
  fsSnippet,
  type ImageFile,
  type Inspection,
  imageFileFormat,
  inspectImage,
  openInnerImage,
  readSeedFile,
  type SeedFile,
  writeImage,
} from '@migrate/image-tools';
import type { CommandContext } from './command-line.ts';
import type { ExtractCommandOptions } from './command-options.ts';
import { withImage } from './open-source.ts';
import { confirmOverwriting } from './overwrite.ts';

/** The image that a machine runs: the inner one of a flasher image, else the image itself. */
interface Target {
  readonly reader: ByteReader;
  readonly inspection: Inspection;
}

/** Writes archives of the partitions, or the single parts that the options name. */
export async function extract(context: CommandContext, path: string, options: ExtractCommandOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  const parts = wantedParts(options);
  const directory = resolve(options.outputDirectory);
  const archives = parts.length === 0 ? archiveNames.map((name) => `${directory}/${name}`) : [];
  if (options.img !== undefined) imageFileFormat(options.img);
  await confirmOverwriting(context.host, [...archives, ...parts.map((part) => part.path)], options);
  if (archives.length > 0 && (await context.host.status(directory)) === undefined)
    await context.host.makeDirectory(directory, 0o755);
  const scratch = options.img === undefined ? directory : dirname(resolve(options.img));
  await withImage(context, { path, directory: scratch, emit }, async ({ reader }) => {
    const inspection = await inspectImage(reader);
    if (parts.length > 0) return writeParts(context, { parts, reader, inspection, emit, options });
    const setting = await writeArchives(context, { reader, inspection, emit, directory, options });
    process.stdout.write(options.json ? `${JSON.stringify(setting, null, 2)}\n` : fsSnippet(setting));
  });
  return exitCodes.done;
}

type Part = { readonly kind: 'image' | SeedFile; readonly path: string };

function wantedParts({ img, balenaCfg, grub, grubBoot, grubCore }: ExtractCommandOptions): readonly Part[] {
  const paths = { image: img, config: balenaCfg, grub, 'grub-boot': grubBoot, 'grub-core': grubCore };
  return Object.entries(paths).flatMap(([kind, path]) =>
    path === undefined ? [] : [{ kind: kind as Part['kind'], path: resolve(path) }],
  );
}

interface ArchiveRequest {
  readonly reader: ByteReader;
  readonly inspection: Inspection;
  readonly emit: Emit;
  readonly directory: string;
  readonly options: ExtractCommandOptions;
}

async function writeArchives(
  { host, signal }: CommandContext,
  { reader, inspection, emit, directory, options }: ArchiveRequest,
): Promise<FsImageSetting> {
  const target = await targetOf(reader, inspection, emit);
  const deviceType = options.deviceType ?? target.inspection.deviceType ?? inspection.deviceType;
  if (deviceType === undefined)
    throw new MigrateError('wrong-image', 'the image does not say which device type it is for: name it with -d');
  return extractPartitions(target.reader, { host, emit, deviceType, directory, hash: options.hash, signal });
}

async function targetOf(reader: ByteReader, inspection: Inspection, emit: Emit): Promise<Target> {
  if (inspection.kind !== 'balena-flasher') return { reader, inspection };
  const inner = await openInnerImage(reader, inspection);
  emit({ kind: 'note', level: 'info', text: `it is a flasher image; ${inner.path} inside of it is taken` });
  return inner;
}

interface PartsRequest {
  readonly parts: readonly Part[];
  readonly reader: ByteReader;
  readonly inspection: Inspection;
  readonly emit: Emit;
  readonly options: ExtractCommandOptions;
}

async function writeParts(
  { host, signal }: CommandContext,
  { parts, reader, inspection, emit, options }: PartsRequest,
): Promise<void> {
  let image: ImageFile | undefined;
  const note = (text: string): void => emit({ kind: 'note', level: 'info', text });
  for (const { kind, path } of parts) {
    if (kind === 'image') {
      const target = await targetOf(reader, inspection, emit);
      const stream = readerStream(target.reader, emit);
      const { hash: algorithm } = options;
      image = await writeImage({ host, path, stream, imageBytes: target.reader.sizeBytes, algorithm, signal });
      note(`${path}: the image, ${image.fileBytes} bytes`);
      continue;
    }
    const found = await readSeedFile(reader, inspection, kind);
    // A config.json holds the keys of the fleet.
    await host.writeDurable(path, found.bytes, { mode: kind === 'config' ? 0o600 : 0o644 });
    note(`${path}: ${found.path} of the boot partition`);
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ written: parts, image: image ?? null }, null, 2)}\n`);
  else if (image !== undefined) process.stdout.write(snippetOf(image, parts));
}

function snippetOf({ path, hash }: ImageFile, parts: readonly Part[]): string {
  const configPath = parts.find(({ kind }) => kind === 'config')?.path;
  return ddSnippet({ path, hash, ...(configPath === undefined ? {} : { configPath }) });
}

const chunkBytes = 1024 * 1024;

async function* readerStream(reader: ByteReader, emit: Emit): AsyncGenerator<Uint8Array> {
  const total = reader.sizeBytes;
  for (let done = 0; done < total; ) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(chunkBytes, total - done));
    const count = await reader.read(bytes, done);
    if (count === 0) throw new MigrateError('invalid-input', `the image ends at byte ${done}, before its size`);
    yield bytes.subarray(0, count);
    done += count;
    emit({ kind: 'progress', text: 'writing the image', done, total, unit: 'bytes' });
  }
}
