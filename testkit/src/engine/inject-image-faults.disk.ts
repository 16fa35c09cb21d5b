// inject into an image file that is killed, or whose disk is full: the image stays as it was to the byte, and a rerun completes it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directorySource, extractBundle } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleProgram } from '../bench/bundle-program.ts';
import { withEngine } from './docker-engine.ts';
import { buildInject, layerListings, makeImage, withData } from './injected-image.ts';
import { buildTestImages } from './test-images.ts';

let work: string;
let bundle: string;
let program: string;
let killing: string;
/** An image that is too small, and its sum. */
let template: string;
let templateSum: string;
/** Layers of the images as they must arrive. */
let layers: ReadonlyMap<string, string>;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'inject-faults-'));
  bundle = join(work, 'bundle');
  await withEngine(join(work, 'source'), (engine) => buildTestImages(engine, 6));
  layers = await layerListings(join(work, 'source'));
  const host = createNodeHost();
  const source = await directorySource(host, join(work, 'source'));
  await extractBundle({ host, source, out: bundle, emit: () => {} });
  program = await buildInject(join(work, 'program'));
  killing = await bundleProgram('../engine/killed-image-injection', work);
  template = await makeImage(work, 'gpt', 12);
  templateSum = await sumOf(template);
});

afterAll(() => rm(work, { recursive: true, force: true }));

async function sumOf(path: string): Promise<string> {
  return (await execa('sha256sum', [path])).stdout.split(' ')[0] ?? '';
}

/** A copy of the template in the empty directory `directory`. */
async function freshImage(directory: string): Promise<string> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await execa('cp', ['--sparse=always', template, join(directory, 'balena.img')]);
  return join(directory, 'balena.img');
}

function inject(image: string) {
  const argv = ['--from', bundle, '--image', image, '--grow', '--yes'];
  return execa('node', [program, ...argv], { reject: false });
}

/** Runs the command again, after which all must be there and nothing else. */
async function expectCompletion(image: string): Promise<void> {
  const again = await inject(image);
  expect(`${again.exitCode} ${again.stderr}`).toMatch(/^0 /);
  expect(await readdir(dirname(image))).toEqual([basename(image)]);
  await withData(image, async (mountPoint) => {
    const here = await layerListings(join(mountPoint, 'docker'));
    expect([...here.keys()].sort()).toEqual([...layers.keys()].sort());
    for (const [chainId, listing] of here) expect(listing, chainId).toBe(layers.get(chainId));
  });
}

describe('an injection into an image file', () => {
  test('that is killed ahead of any change leaves the image as it was, and the next run completes it', async () => {
    const directory = join(work, 'killed');
    const run = (image: string, index: number) =>
      execa('node', [killing, bundle, image, String(index)], { reject: false });
    const all = await run(await freshImage(directory), -1);
    expect(all.exitCode, all.stderr).toBe(0);
    const changes = all.stdout.split('\n');
    const renaming = changes.findIndex((change) => change.startsWith('rename '));
    expect(renaming).toBeGreaterThan(30);
    const indices = [...changes.keys()].filter((index) => index % 6 === 0 || index === renaming || index > renaming);
    for (const index of indices) {
      const image = await freshImage(directory);
      expect((await run(image, index)).signal, changes[index]).toBe('SIGKILL');
      if (index <= renaming) expect(await sumOf(image), changes[index]).toBe(templateSum);
      await expectCompletion(image);
    }
  });

  test('whose processes are all killed at any moment leaves the image as it was', async () => {
    const directory = join(work, 'killed-together');
    const start = Date.now();
    expect((await inject(await freshImage(directory))).exitCode).toBe(0);
    const wholeMs = Date.now() - start;
    for (const part of [0.3, 0.45, 0.6, 0.7, 0.8]) {
      const image = await freshImage(directory);
      const child = spawn('node', [program, '--from', bundle, '--image', image, '--grow', '--yes'], {
        detached: true,
        stdio: 'ignore',
      });
      const ended = once(child, 'close');
      await new Promise((resolve) => setTimeout(resolve, wholeMs * part));
      // Its group is its programs too; a machine that is idle again may have finished before.
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await ended;
      const isComplete = !(await readdir(directory)).includes('balena.img.migrate-inject');
      if (!isComplete) expect(await sumOf(image)).toBe(templateSum);
      await expectCompletion(image);
    }
  });

  test('is refused while another one works on the same image', async () => {
    const image = await freshImage(join(work, 'locked'));
    const child = spawn('node', [program, '--from', bundle, '--image', image, '--grow'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const ended = once(child, 'close');
    const lock = join(dirname(image), 'balena.img.migrate-inject');
    while (!(await readdir(lock).catch((): string[] => [])).includes('work'))
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGSTOP');
    const other = await inject(image);
    expect(other.stderr).toMatch(/another .* is at work/);
    expect(other.exitCode).toBe(3);
    child.kill('SIGCONT');
    await ended;
    expect(await sumOf(image)).toBe(templateSum);
    await expectCompletion(image);
  });

  test('that fills the disk leaves the image as it was and nothing beside it', async () => {
    const mountPoint = await mkdtemp(join(work, 'small-disk-'));
    const image = join(mountPoint, 'balena.img');
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=200M', 'tmpfs', mountPoint]);
    try {
      await execa('cp', ['--sparse=always', template, image]);
      const { stdout } = await execa('du', ['--block-size=1K', image]);
      const used = Number(stdout.split('\t')[0]);
      const messages = new Set<string>();
      for (let freeKib = 0; ; freeKib = Math.ceil(freeKib * 1.5) + 4) {
        await execa('mount', ['-o', `remount,size=${used + freeKib}K`, mountPoint]);
        const { exitCode, stderr } = await inject(image);
        const what = `${freeKib} KiB free: ${stderr}`;
        if (exitCode === 0) break;
        expect(exitCode, what).not.toBe(70);
        expect(stderr, what).toMatch(/no space left|ENOSPC|could not allocate/i);
        expect(await readdir(mountPoint), what).toEqual(['balena.img']);
        expect(await sumOf(image), what).toBe(templateSum);
        messages.add(/^inject: .*/m.exec(stderr)?.[0].replaceAll(mountPoint, '').replaceAll(/\d+/g, 'N') ?? '');
      }
      // It was full at the lock, at the copy, while it grew, and while contents were written.
      expect(messages.size, [...messages].join('\n')).toBeGreaterThan(3);
      await execa('mount', ['-o', 'remount,size=200M', mountPoint]);
      await expectCompletion(image);
    } finally {
      await execa('umount', [mountPoint]);
    }
  });
});
