// The Node binary of the bundle: fetched through npm, checked against its pin, stripped (12 MB less RAM in stage 2).

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import type { BundleArchitecture, NodePackage } from './architectures.ts';

/** Directory with `node` and `LICENSE`; made on first use. Throws where the download does not match its pin. */
export async function nodePart({ node, triplet }: BundleArchitecture): Promise<string> {
  return cached('bundle-node', [node, 'strip-all'], async (directory) => {
    await execa(
      'npm',
      ['pack', `${node.name}@${node.version}`, '--silent', '--pack-destination', directory],
      // Away from the project, whose packageManager field npm would complain about.
      { cwd: directory },
    );
    const archive = join(directory, `${node.name}-${node.version}.tgz`);
    await checkIntegrity(archive, node);
    await execa('tar', [
      '-xzf',
      archive,
      '-C',
      directory,
      '--strip-components=1',
      'package/bin/node',
      'package/LICENSE',
    ]);
    await execa(`${triplet}-strip`, ['--strip-all', '-o', join(directory, 'node'), join(directory, 'bin/node')]);
    await execa('rm', ['-r', archive, join(directory, 'bin')]);
  });
}

async function checkIntegrity(archive: string, { integrity }: NodePackage): Promise<void> {
  const actual = `sha512-${createHash('sha512')
    .update(await readFile(archive))
    .digest('base64')}`;
  if (actual !== integrity) {
    throw new Error(`${archive} is ${actual}, expected ${integrity}`);
  }
}
