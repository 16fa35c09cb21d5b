import { exitCodes, type Host, MigrateError, renderJson, renderLines } from '@migrate/core';
import { extractBundle } from '@migrate/engine-preload';
import { type CommonOptions, countOf, requiredOption } from './command-options.ts';
import { withImages } from './with-images.ts';

export interface ExtractOptions extends CommonOptions {
  readonly from?: string;
  readonly image?: readonly string[];
  readonly all?: boolean;
  readonly out?: string;
}

/** Takes images out of a data root into a bundle. */
export async function extract(host: Host, options: ExtractOptions): Promise<number> {
  const from = requiredOption(options.from, '--from');
  const out = requiredOption(options.out, '--out');
  if ((options.image === undefined) === (options.all !== true)) {
    throw new MigrateError('invalid-input', 'say which images: --image NAME..., or --all');
  }
  return withImages(host, { path: from, scratch: `${out}.migrate-unpacked` }, async (source) => {
    const emit = options.json === true ? renderJson(process.stdout) : renderLines(process.stderr);
    const names = options.image === undefined ? {} : { names: options.image };
    const { index, sha256 } = await extractBundle({ host, source, out, emit, ...names });
    const images = index.images.map(({ id, references }) => ({ id, references }));
    if (options.json === true) {
      process.stdout.write(`${JSON.stringify({ kind: 'finished', outcome: 'done', out, sha256, images })}\n`);
    } else {
      process.stdout.write(`${out}: ${countOf(images.length, 'image')}, ${sha256}\n`);
    }
    return exitCodes.done;
  });
}
