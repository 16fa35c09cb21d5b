import { exitCodes, renderJson, renderLines } from '@migrate/core';
import { describeImage } from '@migrate/image-tools';
import type { CommandContext } from './command-context.ts';
import type { CommonOptions } from './command-options.ts';
import { withImage } from './open-source.ts';
import { renderDescription } from './render-description.ts';

/** Not /tmp, which may lie in memory. */
const scratchDirectory = process.env.TMPDIR ?? '/var/tmp';

/** Looks into an image and prints what it is; nothing is written but a temporary file for a packed one. */
export async function info(context: CommandContext, path: string, options: CommonOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  await withImage(context, { path, directory: scratchDirectory, emit }, async ({ opened, reader }) => {
    const description = await describeImage(await reader());
    const { container, fileBytes } = opened;
    const file = { path, container, fileBytes };
    process.stdout.write(
      options.json ? `${JSON.stringify({ file, ...description }, null, 2)}\n` : renderDescription(file, description),
    );
  });
  return exitCodes.done;
}
