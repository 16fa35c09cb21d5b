import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleProgram } from './bench/bundle-program.ts';
import { measure } from './bench/measure.ts';

const gibibyte = 1024 ** 3;
const limitMib = 200;
let directory: string;
let program: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'large-zip-'));
  program = await bundleProgram('open-actions', directory);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function convert(from: string, to: string): Promise<void> {
  const { peakRssMib } = await measure(`node ${program} convert ${join(directory, from)} ${join(directory, to)}`);
  expect(peakRssMib, `${from} to ${to}`).toBeLessThanOrEqual(limitMib);
}

describe('an image of more than 4 GiB', () => {
  it('becomes zip64 by zip, and gzip, zstd and an image with holes again by us, in little memory', async () => {
    const image = join(directory, 'large.img');
    await writeFile(image, 'start of the image');
    await truncate(image, 4.5 * gibibyte);
    await writeFile(image, 'end of the image', { flag: 'a' });
    await execa('zip', ['-1', '-q', '-j', `${image}.zip`, image]);
    await convert('large.img.zip', 'made.img.gz');
    await execa('gzip', ['-t', join(directory, 'made.img.gz')]);
    await convert('made.img.gz', 'made.img.zst');
    await convert('made.img.zst', 'made.img');
    await execa('cmp', [image, join(directory, 'made.img')]);
    expect((await stat(join(directory, 'made.img'))).blocks * 512).toBeLessThan(1024 * 1024);
  }, 400_000);
});
