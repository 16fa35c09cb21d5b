// The bundle that this program runs from: app/migrate.js or app/stage2.js in it, programs and libraries in runtime/.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNodeHost, type Host } from '@migrate/core';

export const bundleDirectory = dirname(dirname(fileURLToPath(import.meta.url)));

/** The machine that this process runs on, with the bundle's own zstd, which the machine may be without. */
export function createBundleHost(): Host {
  const runtime = `${bundleDirectory}/runtime`;
  const loader = [`${runtime}/ld.so`, '--library-path', `${runtime}/lib`];
  return createNodeHost({ zstd: [...loader, `${runtime}/zstd`] });
}
