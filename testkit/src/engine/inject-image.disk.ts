// inject into an image file, by a user without root: an engine then starts what was put in.
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommandLine } from '@migrate/cli-inject';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { withEngine } from './docker-engine.ts';
import { buildInject, dataPartition, layerListings, makeImage, nobody, withData } from './injected-image.ts';
import { buildTestImages } from './test-images.ts';

let work: string;
let bundle: string;
let program: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'inject-image-'));
  await execa('chmod', ['755', work]);
  bundle = join(work, 'bundle');
  await withEngine(join(work, 'source'), (engine) => buildTestImages(engine, 24));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  expect(await runCommandLine(['extract', '--from', join(work, 'source'), '--all', '--out', bundle])).toBe(0);
  vi.restoreAllMocks();
  await execa('chmod', ['-R', 'a+rX', bundle]);
  program = await buildInject(join(work, 'program'));
  await writeFile(join(work, 'compose.yml'), 'services: { main: { image: "app/one:1" } }\n');
});

afterAll(() => rm(work, { recursive: true, force: true }));

function inject(image: string, ...argv: readonly string[]) {
  const user = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups'];
  const places = ['--from', bundle, '--image', image, '--compose', join(work, 'compose.yml'), '--yes'];
  return execa('setpriv', [...user, process.execPath, program, ...places, ...argv], {
    reject: false,
    env: { TMPDIR: work },
  });
}

/** Images of a bundle with their layers, but for the sums of archives, which depend on how those were made. */
async function imagesOf(path: string): Promise<unknown> {
  const { images } = JSON.parse(await readFile(join(path, 'bundle.json'), 'utf8')) as {
    images: readonly { readonly id: string; readonly references: readonly string[] }[];
  };
  return images
    .map(({ id, references }) => ({ id, references: [...references].sort() }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

describe('inject --image', () => {
  test.each(['mbr', 'gpt'] as const)(
    'fills and enlarges a resin-data on %s without root, and takes images out of it',
    async (layout) => {
      const image = await makeImage(work, layout, 24);
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
      // What was put in comes out again, without root and the same to the byte.
      const taken = join(work, `taken-${layout}`);
      await execa('install', ['-d', '-m', '777', taken]);
      const user = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', process.execPath, program];
      await execa('setpriv', [...user, 'extract', '--from', image, '--all', '--out', join(taken, 'bundle')]);
      expect(await imagesOf(join(taken, 'bundle'))).toEqual(await imagesOf(bundle));
      // An engine has run on it: its own files are left alone, and all layers are found again.
      const size = (await dataPartition(image)).size;
      const again = await inject(image, '--grow');
      expect(`${again.stderr}${again.stdout}`).toContain('0 new layers');
      expect((await dataPartition(image)).size).toBe(size);
    },
  );

  test('leaves the image as it was when anything stands against it', async () => {
    const image = await makeImage(work, 'gpt', 200);
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
