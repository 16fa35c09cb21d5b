// The bundle that this program runs from: app/migrate.js or app/stage2.js in it, programs and libraries in runtime/.
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNodeHost, type Host } from '@migrate/core';

export const bundleDirectory = dirname(dirname(fileURLToPath(import.meta.url)));

/** False where this program runs from its sources, or as `pnpm build` makes it. */
const isBundle = basename(dirname(fileURLToPath(import.meta.url))) === 'app';

/** The machine that this process runs on, with the bundle's own zstd and getfattr, which a Linux may be without. */
export function createBundleHost(): Host {
  const plain = createNodeHost();
  if (!isBundle || plain.system === 'windows') return plain;
  const runtime = `${bundleDirectory}/runtime`;
  const loader = [`${runtime}/ld.so`, '--library-path', `${runtime}/lib`];
  return createNodeHost({ zstd: [...loader, `${runtime}/zstd`], getfattr: [...loader, `${runtime}/getfattr`] });
}
