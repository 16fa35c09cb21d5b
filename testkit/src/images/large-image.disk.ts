// Memory while a large image, mostly empty, is proven, flashed and verified by its used blocks.
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleProgram, stage2NodeFlags } from '../bench/bundle-program.ts';
import { measure } from '../bench/measure.ts';
import { attachLoop, detachLoop } from '../loop-device.ts';

const mebibyte = 1024 * 1024;
const imageMib = 8 * 1024;
const contentMib = 300;
const limitMib = 128;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'large-image-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function makeImage(): Promise<string> {
  const image = join(directory, 'large.img');
  const tree = join(directory, 'tree');
  await mkdir(tree);
  for (let mib = 0; mib < contentMib; mib += 1) {
    const path = join(tree, `file-${mib}`);
    await execa('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=1', 'status=none']);
  }
  await writeFile(image, '');
  await truncate(image, imageMib * mebibyte);
  await execa('sfdisk', ['-q', image], { input: `label: gpt\nstart=8192,size=${(imageMib - 8) * 2048}\n` });
  const options = ['-q', '-F', '-E', `offset=${4 * mebibyte}`, '-d', tree];
  await execa('mkfs.ext4', [...options, image, `${(imageMib - 8) * 1024}k`]);
  await execa('pigz', ['-1', '-k', image]);
  return image;
}

describe('memory', () => {
  it(`stays below ${limitMib} MiB for an image of ${imageMib} MiB`, async () => {
    const image = await makeImage();
    const disk = join(directory, 'disk');
    await writeFile(disk, '');
    await truncate(disk, (imageMib + 1) * mebibyte);
    const program = await bundleProgram('image-actions', directory);
    const run = (action: string) =>
      measure(`node ${stage2NodeFlags.join(' ')} ${program} ${action} ${image}.gz ${directory}/facts.json ${disk}`);
    const peaks: Record<string, number> = {};
    for (const action of ['prove-used', 'flash', 'verify']) peaks[action] = (await run(action)).peakRssMib;
    for (const [action, peakMib] of Object.entries(peaks)) expect(peakMib, action).toBeLessThanOrEqual(limitMib);
    // The file holds what was written, and nothing of the gigabytes that were not.
    const { stdout } = await execa('du', ['-m', disk]);
    expect(Number.parseInt(stdout, 10)).toBeLessThan(contentMib * 2);
    const part = [`--offset=${4 * mebibyte}`, `--sizelimit=${(imageMib - 8) * mebibyte}`];
    const device = await attachLoop(disk, ...part);
    try {
      await execa('e2fsck', ['-f', '-n', device]);
    } finally {
      await detachLoop(device);
    }
  }, 600_000);
});
