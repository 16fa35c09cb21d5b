// Compares extracting all partitions of an image with mounting them as root and running tar -czf.
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { bundleProgram } from './bundle-program.ts';
import { type Bench, type BenchOptions, type Contender, contest, wanted } from './contest.ts';
import { filledImage } from './filled-image.ts';

/** In sectors; the kernel may be without parsers of partition tables, so each file system is mounted by its place. */
interface Place {
  readonly start: number;
  readonly size: number;
}

const sectorBytes = 512;

/** Needs root, for the usual way. The boot partition is FAT, which not every kernel mounts: only ours takes it too. */
export async function runExtractBench(options: BenchOptions): Promise<Bench> {
  const directory = await mkdtemp('/var/tmp/extract-bench-');
  try {
    const { raw, sizeBytes } = await filledImage();
    const image = join(directory, 'image.img');
    await symlink(raw, image);
    const mounted = join(directory, 'mounted');
    await mkdir(mounted);
    const program = await bundleProgram('../../../packages/cli-extract/src/main', directory);
    const prepare = async (): Promise<() => Promise<void>> => {
      await execa('sync');
      return async () => {};
    };
    const contenders: Contender[] = [
      {
        task: 'extract',
        way: 'mount + tar -czf',
        commandLine: (await extPlaces(raw))
          .map(
            ({ start, size }, index) =>
              `mount -o ro,loop,offset=${start * sectorBytes},sizelimit=${size * sectorBytes} ${raw} ${mounted} && ` +
              `tar --xattrs --acls -C ${mounted} -czf ${directory}/usual-${index}.tgz . ; umount ${mounted}`,
          )
          .join(' ; '),
        prepare,
      },
      {
        task: 'extract',
        way: 'ours',
        commandLine: `node ${program} ${image} -d beaglebone-green -o ${directory} --yes >/dev/null 2>&1`,
        goal: 0.5,
        prepare,
      },
    ];
    const rows = await contest(wanted(contenders, options), options);
    for (const label of ['boot', 'rootA', 'rootB', 'state', 'data'])
      await execa('gzip', ['-t', join(directory, `resin-${label}.tgz`)]);
    return { sizeBytes, rows };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function extPlaces(raw: string): Promise<readonly Place[]> {
  const { stdout } = await execa('sfdisk', ['--json', raw]);
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { partitions: readonly (Place & { readonly type: string })[] };
  };
  return partitiontable.partitions.filter(({ type }) => type === '83');
}
