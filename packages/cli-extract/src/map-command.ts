import { resolve } from 'node:path';
import { exitCodes, renderJson, renderLines, writtenBytes } from '@migrate/core';
import { makeUsedMap, usedMapPath } from '@migrate/image-tools';
import type { CommandContext } from './command-context.ts';
import type { WritingOptions } from './command-options.ts';
import { confirmOverwriting } from './overwrite.ts';

/** Proves an image and writes the map of its used blocks beside it. */
export async function map({ host }: CommandContext, image: string, options: WritingOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  const path = resolve(image);
  const mapPath = usedMapPath(path);
  await confirmOverwriting(host, [mapPath], options);
  const proven = await makeUsedMap(host, path, emit);
  const { ranges = [], wholePartitions = [] } = proven.usedBlocks ?? {};
  const facts = {
    path: mapPath,
    imageBytes: proven.sizeBytes,
    usedBytes: writtenBytes(proven),
    ranges: ranges.length,
    wholePartitions,
  };
  if (options.json) {
    process.stdout.write(`${JSON.stringify(facts, null, 2)}\n`);
    return exitCodes.done;
  }
  const mebibytes = (bytes: number): number => Math.ceil(bytes / 1024 / 1024);
  process.stdout.write(
    [
      `${mapPath}: ${mebibytes(facts.usedBytes)} of ${mebibytes(facts.imageBytes)} MiB are in use, in ${facts.ranges} ranges`,
      ...wholePartitions.map(({ number, why }) => `partition ${number} counts as used from end to end: ${why}`),
      '',
    ].join('\n'),
  );
  return exitCodes.done;
}
