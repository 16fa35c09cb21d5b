import { exitCodes, type Host, refuses, renderFindings } from '@migrate/core';
import { checkServiceImages, dataRootPath, directoryFiles, readAppsInput, readDataRoot } from '@migrate/engine-preload';
import type { AppsOptions } from './command-options.ts';
import { readTextFile } from './read-input.ts';
import { withImages } from './with-images.ts';

export interface CheckOptions extends AppsOptions {
  readonly from?: string;
  readonly resinData?: string;
}

/** Checks apps.json, against the images of a data root where one is named. */
export async function checkAppsFile(host: Host, file: string, options: CheckOptions): Promise<number> {
  const text = await readTextFile(host, file);
  const input = {
    kind: 'apps',
    fileName: file,
    text,
    ...(options.appUuid === undefined ? {} : { appUuid: options.appUuid }),
  } as const;
  const { apps, findings } = readAppsInput(input, []);
  const images = apps === undefined ? undefined : await imagesOf(host, options);
  const check = apps === undefined || images === undefined ? undefined : checkServiceImages(apps, images, file);
  const all = [...findings, ...(check?.findings ?? [])];
  const isValid = !refuses(all);
  if (options.json === true) {
    const unused = (check?.unused ?? []).map(({ id }) => id);
    process.stdout.write(`${JSON.stringify({ valid: isValid, findings: all, unused }, null, 2)}\n`);
  } else {
    process.stdout.write(`${renderFindings(all)}${file}: ${isValid ? 'valid' : 'not valid'}\n`);
  }
  return isValid ? exitCodes.done : exitCodes.usage;
}

async function imagesOf(host: Host, { from, resinData }: CheckOptions) {
  if (resinData !== undefined) return (await readDataRoot(directoryFiles(host, `${resinData}/${dataRootPath}`))).images;
  if (from === undefined) return undefined;
  return withImages(host, { path: from, scratch: `${from}.migrate-unpacked` }, async ({ images }) => images);
}
