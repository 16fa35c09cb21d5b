import { readFile, writeFile } from 'node:fs/promises';

/** What ld.so(8) reads besides LD_PRELOAD, and for which there is no option: Raspbian has it name a library of its own. */
export const preloadFile = '/etc/ld.so.preload';
/** As long, and nothing can be there. */
export const noFile = '/dev/null/.preload';

/**
 * Makes a loader deaf to /etc/ld.so.preload: libraries of the machine, made for another C library or even for another
 * architecture, would be loaded into Node, or the loader complain of each. Throws unless the name is there exactly once.
 */
export async function ignorePreloadFile(loader: string): Promise<void> {
  const bytes = await readFile(loader);
  const place = bytes.indexOf(`${preloadFile}\0`);
  if (place < 0 || bytes.indexOf(preloadFile, place + 1) >= 0)
    throw new Error(`${loader} does not name ${preloadFile} once`);
  bytes.write(noFile, place, 'latin1');
  await writeFile(loader, bytes);
}
