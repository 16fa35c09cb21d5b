import { resolve } from 'node:path';
import {
  type ByteReader,
  type Emit,
  exitCodes,
  type FsImageSetting,
  MigrateError,
  renderJson,
  renderLines,
} from '@migrate/core';
import { archiveNames, extractPartitions, fsSnippet, inspectImage, openInnerImage } from '@migrate/image-tools';
import type { CommandContext } from './command-context.ts';
import type { ExtractCommandOptions } from './command-options.ts';
import { withImage } from './open-source.ts';
import { confirmOverwriting } from './overwrite.ts';
import { extractParts, wantedParts } from './parts-command.ts';

/** Writes archives of the five partitions, or the parts that the options name. */
export async function extract(context: CommandContext, path: string, options: ExtractCommandOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  const parts = wantedParts(options);
  if (parts.length > 0) return extractParts(context, { path, parts, emit, options });
  const directory = resolve(options.outputDirectory);
  await confirmOverwriting(
    context.host,
    archiveNames.map((name) => `${directory}/${name}`),
    options,
  );
  if ((await context.host.status(directory)) === undefined) await context.host.makeDirectory(directory, 0o755);
  await withImage(context, { path, directory, emit, inflate: options.inflate }, async (source) => {
    const setting = await writeArchives(context, { image: await source.reader(), emit, directory, options });
    process.stdout.write(options.json ? `${JSON.stringify(setting, null, 2)}\n` : fsSnippet(setting));
  });
  return exitCodes.done;
}

interface ArchiveRequest {
  readonly image: ByteReader;
  readonly emit: Emit;
  readonly directory: string;
  readonly options: ExtractCommandOptions;
}

async function writeArchives(
  { host, signal }: CommandContext,
  { image, emit, directory, options }: ArchiveRequest,
): Promise<FsImageSetting> {
  let [target, inspection] = [image, await inspectImage(image)];
  const outerType = inspection.deviceType;
  if (inspection.kind === 'balena-flasher') {
    const inner = await openInnerImage(image, inspection);
    emit({ kind: 'note', level: 'info', text: `it is a flasher image; ${inner.path} inside of it is taken` });
    [target, inspection] = [inner.reader, inner.inspection];
  }
  const deviceType = options.deviceType ?? inspection.deviceType ?? outerType;
  if (deviceType === undefined)
    throw new MigrateError('wrong-image', 'the image does not say which device type it is for: name it with -d');
  return extractPartitions(target, { host, emit, deviceType, directory, hash: options.hash, signal });
}
