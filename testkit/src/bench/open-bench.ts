// Compares inflating and converting images with the programs one would use instead, and zlib-sync with the engine we use.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { bundleProgram, stage2NodeFlags } from './bundle-program.ts';
import { type Bench, type BenchOptions, type Contender, contest, wanted } from './contest.ts';
import { filledImage } from './filled-image.ts';

const zlibSync = join(import.meta.dirname, '../../../packages/image-tools/node_modules/zlib-sync');

/** Needs no root. */
export async function runOpenBench(options: BenchOptions): Promise<Bench> {
  // In memory: what is compared are programs, not disks.
  const directory = await mkdtemp('/dev/shm/open-bench-');
  try {
    const { raw, packed, sizeBytes } = await filledImage();
    const image = join(directory, 'image');
    await symlink(raw, image);
    await symlink(packed, `${image}.gz`);
    await execa('zip', ['-qj', `${image}.zip`, image]);
    const program = await bundleProgram('open-actions', directory);
    if (!existsSync(join(zlibSync, 'build')))
      throw new Error('zlib-sync was not compiled: install g++, make and python3');
    // The one package that cannot be bundled is looked for beside the program.
    await mkdir(join(directory, 'node_modules'));
    await symlink(zlibSync, join(directory, 'node_modules/zlib-sync'));
    const contenders = wanted(listContenders(image, `node ${stage2NodeFlags.join(' ')} ${program}`), options);
    const rows = await contest(contenders, options);
    for (const made of ['converted', 'packed'].map((name) => join(directory, `${name}.gz`)).filter(existsSync)) {
      await execa('bash', ['-c', 'gzip -dc "$1" | cmp - "$2"', 'compare', made, image]);
    }
    return { sizeBytes, rows };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function listContenders(image: string, ours: string): readonly Contender[] {
  const made = (name: string): string => join(image, '..', `${name}.gz`);
  return [
    { task: 'inflate', way: 'gzip', commandLine: `gzip -dc ${image}.gz >/dev/null` },
    { task: 'inflate', way: 'ours', commandLine: `${ours} inflate node ${image}.gz` },
    { task: 'inflate', way: 'zlib-sync', commandLine: `${ours} inflate zlib-sync ${image}.gz` },
    { task: 'zip to gz', way: 'unzip | gzip', commandLine: `unzip -p ${image}.zip | gzip -6 >${made('usual')}` },
    {
      task: 'zip to gz',
      way: 'ours',
      commandLine: `${ours} convert ${image}.zip ${made('converted')}`,
      goal: 0.08,
    },
    { task: 'raw to gz', way: 'gzip', commandLine: `gzip -6 <${image} >${made('usual')}` },
    { task: 'raw to gz', way: 'ours', commandLine: `${ours} convert ${image} ${made('packed')}` },
  ];
}
