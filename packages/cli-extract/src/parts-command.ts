// --img, --balena-cfg and the GRUB files: what the original extract.sh takes out of a flasher image.
import { dirname, resolve } from 'node:path';
import { type Emit, exitCodes, MigrateError } from '@migrate/core';
import {
  convertImage,
  ddSnippet,
  type ImageFile,
  type Inspection,
  imageFileFormat,
  inspectImage,
  openInnerImage,
  readerStream,
  readSeedFile,
  type SeedFile,
  writeImage,
} from '@migrate/image-tools';
import type { CommandContext } from './command-context.ts';
import type { ExtractCommandOptions } from './command-options.ts';
import { type ImageSource, withImage } from './open-source.ts';
import { confirmOverwriting } from './overwrite.ts';

export type Part = { readonly kind: 'image' | SeedFile; readonly path: string };

/** The parts that the options ask for, with the files that they go to. */
export function wantedParts(options: ExtractCommandOptions): readonly Part[] {
  const { img, balenaCfg, grub, grubBoot, grubCore } = options;
  const wanted: readonly (readonly [Part['kind'], string | undefined])[] = [
    ['image', img],
    ['config', balenaCfg],
    ['grub', grub],
    ['grub-boot', grubBoot],
    ['grub-core', grubCore],
  ];
  return wanted.flatMap(([kind, path]) => (path === undefined ? [] : [{ kind, path: resolve(path) }]));
}

export interface PartsRequest {
  /** Of the image. */
  readonly path: string;
  readonly parts: readonly Part[];
  readonly emit: Emit;
  readonly options: ExtractCommandOptions;
}

/** Writes the parts and prints, for an image, what belongs into the configuration. */
export async function extractParts(
  context: CommandContext,
  { path, parts, emit, options }: PartsRequest,
): Promise<number> {
  const { host } = context;
  const imagePath = parts.find(({ kind }) => kind === 'image')?.path;
  if (imagePath !== undefined) imageFileFormat(imagePath);
  await confirmOverwriting(
    host,
    parts.map((part) => part.path),
    options,
  );
  const note = (text: string): void => emit({ kind: 'note', level: 'info', text });
  const directory = dirname(imagePath ?? resolve(path));
  const written = await withImage(context, { path, directory, emit, inflate: options.inflate }, async (source) => {
    // What is asked for lies near the start, so a packed image need not be unpacked to a file.
    const forward = source.opened.forward();
    try {
      const inspection = await inspectImage(forward);
      for (const part of parts) {
        if (part.kind === 'image') continue;
        const found = await readSeedFile(forward, inspection, part.kind);
        // A config.json holds the key of the fleet.
        await host.writeDurable(part.path, found.bytes, { mode: part.kind === 'config' ? 0o600 : 0o644 });
        note(`${part.path}: ${found.path} of the boot partition`);
      }
      return imagePath === undefined
        ? undefined
        : await writeTarget(context, { source, inspection, imagePath, emit, options });
    } finally {
      await forward.close();
    }
  });
  if (written !== undefined) note(`${written.path}: the image, ${written.fileBytes} bytes`);
  if (options.json) process.stdout.write(`${JSON.stringify({ parts, image: written ?? null }, null, 2)}\n`);
  else if (written !== undefined) process.stdout.write(snippetOf(written, parts));
  return exitCodes.done;
}

interface TargetRequest {
  readonly source: ImageSource;
  readonly inspection: Inspection;
  readonly imagePath: string;
  readonly emit: Emit;
  readonly options: ExtractCommandOptions;
}

/** The image that a machine runs: the inner one of a flasher image, else the image itself. */
async function writeTarget(
  { host, signal }: CommandContext,
  { source, inspection, imagePath, emit, options }: TargetRequest,
): Promise<ImageFile> {
  const output = { host, path: imagePath, algorithm: options.hash, signal };
  if (inspection.kind === 'unknown')
    throw new MigrateError('wrong-image', 'it is no image of balenaOS; "balena-extract convert" takes any image');
  if (inspection.kind === 'balena-raw') return convertImage({ ...output, image: source.opened });
  const inner = await openInnerImage(await source.reader(), inspection);
  emit({ kind: 'note', level: 'info', text: `it is a flasher image; ${inner.path} inside of it is taken` });
  const { sizeBytes } = inner.reader;
  const progress = (done: number): void =>
    emit({ kind: 'progress', text: 'writing the image', done, total: sizeBytes, unit: 'bytes' });
  return writeImage({ ...output, stream: readerStream(inner.reader, progress), imageBytes: sizeBytes });
}

function snippetOf({ path, hash }: ImageFile, parts: readonly Part[]): string {
  const configPath = parts.find(({ kind }) => kind === 'config')?.path;
  return ddSnippet({ path, hash, ...(configPath === undefined ? {} : { configPath }) });
}
