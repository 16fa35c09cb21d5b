// inject into an image file, by a user without root: an engine then starts what was put in.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommandLine } from '@migrate/cli-inject';
import { createNodeHost } from '@migrate/core';
import { directoryFiles, readDataRoot } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { withEngine } from './docker-engine.ts';
import { buildTestImages } from './test-images.ts';

const repository = join(import.meta.dirname, '../../..');
/** Of the user who is called nobody. */
const nobody = 65534;

let work: string;
let bundle: string;
let program: string;

const layouts = {
  mbr: 'label: dos\nstart=2048, size=40960, type=c\nstart=43008, size=20480, type=83\nstart=63488, type=5\nstart=65536, type=83\n',
  gpt: 'label: gpt\nstart=2048, size=40960, name=resin-boot\nstart=43008, name=resin-data\n',
} as const;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'inject-image-'));
  await execa('chmod', ['755', work]);
  bundle = join(work, 'bundle');
  await withEngine(join(work, 'source'), (engine) => buildTestImages(engine, 24));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  expect(await runCommandLine(['extract', '--from', join(work, 'source'), '--all', '--out', bundle])).toBe(0);
  vi.restoreAllMocks();
  await execa('chmod', ['-R', 'a+rX', bundle]);
  await execa('tsup', ['--out-dir', join(work, 'program')], {
    cwd: join(repository, 'packages/cli-inject'),
    preferLocal: true,
    localDir: repository,
  });
  await writeFile(join(work, 'program/package.json'), '{ "type": "module" }');
  program = join(work, 'program/inject.js');
  await writeFile(join(work, 'compose.yml'), 'services: { main: { image: "app/one:1" } }\n');
});

afterAll(() => rm(work, { recursive: true, force: true }));

/** An image with a resin-data of this size that holds an empty data root, in a directory of nobody's. */
async function makeImage(layout: keyof typeof layouts, dataMib: number): Promise<string> {
  const directory = await mkdtemp(join(work, `${layout}-`));
  const image = join(directory, 'balena.img');
  await execa('truncate', ['-s', `${dataMib + 32}M`, image]);
  await execa('sfdisk', ['--quiet', image], { input: layouts[layout] });
  const { start, size } = await dataPartition(image);
  await execa('mkfs.vfat', ['-n', 'resin-boot', '--offset', '2048', image, '20480']);
  await mkdir(join(directory, 'tree/docker'), { recursive: true });
  await writeFile(join(directory, 'tree/apps.json'), '{}');
  const options = ['-q', '-F', '-t', 'ext4', '-L', 'resin-data', '-d', join(directory, 'tree')];
  await execa('mke2fs', [...options, '-E', `offset=${start * 512}`, image, `${Math.floor(size / 2)}K`]);
  await rm(join(directory, 'tree'), { recursive: true });
  await execa('chown', ['-R', `${nobody}:${nobody}`, directory]);
  return image;
}

/** The last partition, in sectors. */
async function dataPartition(image: string): Promise<{ start: number; size: number }> {
  const { stdout } = await execa('sfdisk', ['--json', image]);
  const { partitions } = (JSON.parse(stdout) as { partitiontable: { partitions: { start: number; size: number }[] } })
    .partitiontable;
  const last = partitions.at(-1);
  if (last === undefined) throw new Error('no partition');
  return last;
}

function inject(image: string, ...argv: readonly string[]) {
  const user = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups'];
  const places = ['--from', bundle, '--image', image, '--compose', join(work, 'compose.yml'), '--yes'];
  return execa('setpriv', [...user, process.execPath, program, ...places, ...argv], {
    reject: false,
    env: { TMPDIR: work },
  });
}

/** Runs `action` with resin-data mounted. */
async function withData(image: string, action: (mountPoint: string) => Promise<void>): Promise<void> {
  const { start } = await dataPartition(image);
  await execa('e2fsck', ['-f', '-n', `${image}?offset=${start * 512}`]);
  const mountPoint = await mkdtemp(join(work, 'mount-'));
  await execa('mount', ['-o', `loop,offset=${start * 512}`, image, mountPoint]);
  try {
    await action(mountPoint);
  } finally {
    await execa('umount', [mountPoint]);
  }
}

/**
 * Names, kinds, modes, owners, times, links, attributes and contents of each layer. Holes are not compared: debugfs makes them
 * wherever there are zeros.
 */
async function layerListings(root: string): Promise<ReadonlyMap<string, string>> {
  const { layers, damaged } = await readDataRoot(directoryFiles(createNodeHost(), root));
  expect(damaged).toEqual([]);
  const script = [
    'find . ! -type d -printf "%p %y %m %U:%G %s %T@ %n %l\\n" | sort',
    'find . -type d -printf "%p %m %U:%G %T@\\n" | sort',
    'find . -print0 | sort -z | xargs -0 getfattr --no-dereference --dump --match=- --encoding=hex',
    'find . -type f -print0 | sort -z | xargs -0 -r sha256sum',
  ].join('; ');
  const listings = new Map<string, string>();
  for (const { chainId, cacheId } of layers.values()) {
    const cwd = join(root, 'overlay2', cacheId, 'diff');
    listings.set(chainId, (await execa('bash', ['-e', '-o', 'pipefail', '-c', script], { cwd })).stdout);
  }
  return listings;
}

describe('inject --image', () => {
  test.each(['mbr', 'gpt'] as const)('fills and enlarges a resin-data on %s without root', async (layout) => {
    const image = await makeImage(layout, 24);
    const before = await dataPartition(image);
    const small = await inject(image);
    expect(small.stderr).toMatch(/MiB too small; --grow makes it larger/);
    expect(small.exitCode).toBe(4);
    expect(await dataPartition(image)).toEqual(before);
    const done = await inject(image, '--grow', '--static-ip', '10.0.0.5/24');
    expect(`${done.stderr}${done.stdout}`).toContain('Done: 4 images');
    expect(done.exitCode).toBe(0);
    expect(await readdir(join(image, '..'))).toEqual(['balena.img']);
    expect((await dataPartition(image)).size).toBeGreaterThan(before.size);
    const { stderr } = await execa('sfdisk', ['--verify', image]);
    expect(stderr).toBe('');
    const boot = await execa('mtype', ['-i', `${image}@@1M`, '::/system-connections/static_ip']);
    expect(boot.stdout).toContain('address1=10.0.0.5/24');
    await withData(image, async (mountPoint) => {
      expect(await readFile(join(mountPoint, 'apps.json'), 'utf8')).toContain('"image": "app/one:1"');
      const root = join(mountPoint, 'docker');
      const [there, here] = [await layerListings(join(work, 'source')), await layerListings(root)];
      expect(here.size).toBeGreaterThan(4);
      for (const [chainId, listing] of here) expect(listing, chainId).toBe(there.get(chainId));
      const said = await withEngine(root, (engine) => engine.docker('run', '--rm', '--network', 'none', 'app/one:1'));
      expect(said).toBe('new');
    });
    // An engine has run on it: its own files are left alone, and all layers are found again.
    const again = await inject(image);
    expect(`${again.stderr}${again.stdout}`).toContain('0 new layers');
  });

  test('leaves the image as it was when anything stands against it', async () => {
    const image = await makeImage('gpt', 200);
    const sum = async () => (await execa('sha256sum', [image])).stdout;
    const before = await sum();
    await writeFile(join(work, 'other.yml'), 'services: { main: { image: "nobody:1" } }\n');
    const places = ['--from', bundle, '--image', image, '--yes'];
    const missing = await execa('node', [program, ...places, '--compose', join(work, 'other.yml')], { reject: false });
    expect(missing.exitCode).toBe(3);
    expect(missing.stderr).toContain('the image nobody:1 is not there');
    await execa('gzip', ['-k', image]);
    const packed = await execa('node', [program, '--from', bundle, '--image', `${image}.gz`, '--yes'], {
      reject: false,
    });
    expect(packed.stderr).toContain('if it is compressed, unpack it first');
    expect(await sum()).toBe(before);
    expect((await stat(image)).uid).toBe(nobody);
    expect((await readdir(join(image, '..'))).sort()).toEqual(['balena.img', 'balena.img.gz']);
  });
});
