// Compares putting images into a data root with docker save | docker load, and with cp -a of the same bytes, the limit.
// Needs root and about four times the images' size in /dev/shm.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directoryFiles, readDataRoot } from '@migrate/engine-preload';
import { type Engine, startEngine, withEngine } from '../engine/docker-engine.ts';
import { buildTestImages, testImages } from '../engine/test-images.ts';
import { bundleProgram } from './bundle-program.ts';
import { type Bench, type BenchOptions, type Contender, contest, wanted } from './contest.ts';

const imageMib = 640;

export async function runEngineBench(options: BenchOptions): Promise<Bench> {
  const directory = await mkdtemp('/dev/shm/engine-bench-');
  try {
    const source = join(directory, 'source');
    const target = join(directory, 'target');
    await withEngine(source, (engine) => buildTestImages(engine, imageMib));
    const program = await bundleProgram('engine-actions', directory);
    const prepare = async (): Promise<() => Promise<void>> => {
      await emptyRoot(target);
      return async () => {};
    };
    const ours = { way: 'ours', commandLine: `node ${program} ${source} ${target} ${testImages.join(' ')}`, prepare };
    const contenders: Contender[] = [
      { task: 'preload, to cp', way: 'cp -a', commandLine: await copyCommand(source, target), prepare },
      { task: 'preload, to cp', ...ours, goal: 1.25 },
      { task: 'preload, to load', way: 'docker save | docker load', ...savingAndLoading(source, target) },
      { task: 'preload, to load', ...ours, goal: 1 / 6 },
    ];
    return { sizeBytes: imageMib * 1024 ** 2, rows: await contest(wanted(contenders, options), options) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A root that an engine has started on once, without images. */
async function emptyRoot(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await withEngine(path, async () => {});
}

/** One cp -a of all directories that the images need. */
async function copyCommand(source: string, target: string): Promise<string> {
  const { images } = await readDataRoot(directoryFiles(createNodeHost(), source));
  const found = images.filter(({ references }) =>
    references.some((one) => (testImages as readonly string[]).includes(one)),
  );
  const caches = new Set(found.flatMap(({ layers }) => layers.map(({ cacheId }) => `${source}/overlay2/${cacheId}`)));
  return `cp -a ${[...caches].join(' ')} ${target}/overlay2/`;
}

/** Both engines run before its time is taken. */
function savingAndLoading(source: string, target: string): Pick<Contender, 'commandLine' | 'prepare'> {
  let engines: readonly Engine[] = [];
  return {
    prepare: async () => {
      await emptyRoot(target);
      engines = [await startEngine(source), await startEngine(target)];
      return async () => {
        for (const engine of engines) await engine.stop();
      };
    },
    commandLine: () => {
      const [from, to] = engines.map(({ socket }) => `/usr/bin/docker --host ${socket}`);
      return `${from} save ${testImages.join(' ')} | ${to} load`;
    },
  };
}
