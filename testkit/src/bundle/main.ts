// `pnpm bundle [architecture…]`: dist/migrate-linux-<architecture>/ and its .tar.gz, of all architectures where none is named.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { architectureNames } from './architectures.ts';
import { makeBundle, packBundle } from './bundle.ts';

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !architectureNames.some((known) => known === name));
if (unknown.length > 0) {
  console.error(`no such architecture: ${unknown.join(', ')}; known are ${architectureNames.join(', ')}`);
  process.exit(2);
}
for (const name of architectureNames) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const archive = await packBundle(await makeBundle(join(import.meta.dirname, '../../../dist'), name));
  const { size } = await stat(archive);
  console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB`);
}
