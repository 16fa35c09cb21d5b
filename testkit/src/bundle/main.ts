// `pnpm bundle [name…]`: dist/migrate-linux-<architecture>/ and its .tar.gz, or with "windows" dist/migrate-windows-x64; all of
// them where none is named.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { architectureNames } from './architectures.ts';
import { makeBundle, makeWindowsBundle, packBundle } from './bundle.ts';

const dist = join(import.meta.dirname, '../../../dist');
const makers = new Map<string, () => Promise<string>>([
  ...architectureNames.map((name) => [name, () => makeBundle(dist, name)] as const),
  ['windows', () => makeWindowsBundle(dist)],
]);
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !makers.has(name));
if (unknown.length > 0) {
  console.error(`no such bundle: ${unknown.join(', ')}; known are ${[...makers.keys()].join(', ')}`);
  process.exit(2);
}
for (const [name, make] of makers) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const archive = await packBundle(await make());
  const { size } = await stat(archive);
  console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB`);
}
