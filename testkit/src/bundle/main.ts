// `pnpm bundle`: dist/migrate-linux-x64/ and dist/migrate-linux-x64.tar.gz.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBundle, packBundle } from './bundle.ts';

const bundle = await makeBundle(join(import.meta.dirname, '../../../dist'));
const archive = await packBundle(bundle);
const { size } = await stat(archive);
console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB`);
