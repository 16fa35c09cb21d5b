// The Node binary of the bundle: fetched through npm, checked against its pin, stripped (12 MB less RAM in stage 2).

import { createHash } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import type { BundleArchitecture, NodePackage } from './architectures.ts';

/** Directory with `node` and `LICENSE`; made on first use. Throws where the download does not match its pin. */
export async function nodePart({ node, triplet }: BundleArchitecture): Promise<string> {
  return cached('bundle-node', [node, 'strip-all'], async (directory) => {
    await unpackNode(node, directory, ['bin/node', 'LICENSE']);
    await execa(`${triplet}-strip`, ['--strip-all', '-o', join(directory, 'node'), join(directory, 'bin/node')]);
    await rm(join(directory, 'bin'), { recursive: true });
  });
}

/** Directory with `node.exe`, signed as its makers built it; its licence is that of the same Node for Linux. */
export async function windowsNodePart(node: NodePackage): Promise<string> {
  return cached('bundle-node', [node, 'windows'], async (directory) => {
    await unpackNode(node, directory, ['bin/node.exe']);
    await rename(join(directory, 'bin/node.exe'), join(directory, 'node.exe'));
    await rm(join(directory, 'bin'), { recursive: true });
  });
}

/** Puts files of the package into `directory` under their names in it. */
async function unpackNode(node: NodePackage, directory: string, files: readonly string[]): Promise<void> {
  await execa(
    'npm',
    ['pack', `${node.name}@${node.version}`, '--silent', '--pack-destination', directory],
    // Away from the project, whose packageManager field npm would complain about.
    { cwd: directory },
  );
  const archive = join(directory, `${node.name}-${node.version}.tgz`);
  await checkIntegrity(archive, node);
  const members = files.map((file) => `package/${file}`);
  await execa('tar', ['-xzf', archive, '-C', directory, '--strip-components=1', ...members]);
  await rm(archive);
}

async function checkIntegrity(archive: string, { integrity }: NodePackage): Promise<void> {
  const actual = `sha512-${createHash('sha512')
    .update(await readFile(archive))
    .digest('base64')}`;
  if (actual !== integrity) {
    throw new Error(`${archive} is ${actual}, expected ${integrity}`);
  }
}
