import { resolve } from 'node:path';
import { exitCodes, type HashAlgorithm, renderJson, renderLines } from '@migrate/core';
import { convertImage, ddSnippet, imageFileFormat } from '@migrate/image-tools';
import { InvalidArgumentError } from 'commander';
import type { CommandContext } from './command-context.ts';
import type { UnpackingOptions, WritingOptions } from './command-options.ts';
import { withImage } from './open-source.ts';
import { confirmOverwriting } from './overwrite.ts';

export interface ConvertCommandOptions extends WritingOptions, UnpackingOptions {
  readonly hash: HashAlgorithm;
  readonly level?: number;
}

const highestGzipLevel = 9;

/** Writes an image packed in another way, and prints what belongs into the configuration. */
export async function convert(
  context: CommandContext,
  { from, to }: { from: string; to: string },
  options: ConvertCommandOptions,
): Promise<number> {
  const { host, signal } = context;
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  const path = resolve(to);
  if (imageFileFormat(path) === 'gzip' && (options.level ?? 1) > highestGzipLevel)
    throw new InvalidArgumentError(`--level ${options.level}: gzip goes up to ${highestGzipLevel}`);
  await confirmOverwriting(host, [path], options);
  const source = { path: from, directory: resolve('.'), emit, inflate: options.inflate };
  const image = await withImage(context, source, ({ opened }) =>
    convertImage({ image: opened, host, path, algorithm: options.hash, level: options.level, signal }),
  );
  process.stdout.write(options.json ? `${JSON.stringify(image, null, 2)}\n` : ddSnippet(image));
  return exitCodes.done;
}
