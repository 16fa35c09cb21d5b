// Compares putting images into a data root with docker save | docker load, and with cp -a of the same bytes as the limit, in turns.
// Needs root and about four times the images' size in /dev/shm.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { directoryFiles, readDataRoot } from '@migrate/engine-preload';
import { type Engine, startEngine, withEngine } from '../engine/docker-engine.ts';
import { buildTestImages, testImages } from '../engine/test-images.ts';
import { bundleProgram } from './bundle-program.ts';
import { type Measurement, measure, median } from './measure.ts';

export interface EngineBenchRow {
  readonly way: 'ours' | 'cp -a' | 'save|load';
  readonly wallSeconds: number;
  /** Our median wall time over that of this way. */
  readonly ours: number;
}

/** Ours may take this many times what cp -a takes, and must be this many times faster than save|load. */
export const engineGoals = { overCopy: 1.25, overLoad: 6 };

export async function runEngineBench({
  rounds,
  imageMib,
}: {
  rounds: number;
  imageMib: number;
}): Promise<readonly EngineBenchRow[]> {
  const directory = await mkdtemp('/dev/shm/engine-bench-');
  try {
    const source = join(directory, 'source');
    await withEngine(source, (engine) => buildTestImages(engine, imageMib));
    const program = await bundleProgram('engine-actions', directory);
    const results: Record<EngineBenchRow['way'], Measurement[]> = { ours: [], 'cp -a': [], 'save|load': [] };
    for (let round = 0; round < rounds; round += 1) {
      const target = join(directory, 'target');
      await emptyRoot(target);
      results.ours.push(await measure(`node ${program} ${source} ${target} ${testImages.join(' ')}`));
      await emptyRoot(target);
      results['cp -a'].push(await measure(await copyCommand(source, target)));
      await emptyRoot(target);
      results['save|load'].push(await saveAndLoad(source, target));
    }
    const wall = (way: EngineBenchRow['way']): number => median(results[way].map(({ wallSeconds }) => wallSeconds));
    return (['ours', 'cp -a', 'save|load'] as const).map((way) => ({
      way,
      wallSeconds: wall(way),
      ours: wall('ours') / wall(way),
    }));
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
  const wanted = images.filter(({ references }) =>
    references.some((one) => (testImages as readonly string[]).includes(one)),
  );
  const caches = new Set(wanted.flatMap(({ layers }) => layers.map(({ cacheId }) => `${source}/overlay2/${cacheId}`)));
  return `cp -a ${[...caches].join(' ')} ${target}/overlay2/`;
}

async function saveAndLoad(source: string, target: string): Promise<Measurement> {
  const [from, to]: Engine[] = [await startEngine(source), await startEngine(target)];
  try {
    if (from === undefined || to === undefined) throw new Error('an engine is missing');
    const client = (engine: Engine): string => `/usr/bin/docker --host ${engine.socket}`;
    return await measure(`${client(from)} save ${testImages.join(' ')} | ${client(to)} load`);
  } finally {
    await from?.stop();
    await to?.stop();
  }
}

export function renderEngineRows(rows: readonly EngineBenchRow[], imageMib: number): string {
  const line = ({ way, wallSeconds, ours }: EngineBenchRow): string =>
    `${way.padStart(10)}${wallSeconds.toFixed(2).padStart(9)}${ours.toFixed(2).padStart(9)}`;
  const title = `three images with ${imageMib} MiB, into another data root`;
  return [title, `${'way'.padStart(10)}${'wall s'.padStart(9)}${'ours/it'.padStart(9)}`, ...rows.map(line)].join('\n');
}

/** Whether the goals are met. */
export function meetsEngineGoals(rows: readonly EngineBenchRow[]): boolean {
  const ratio = (way: EngineBenchRow['way']): number => rows.find((row) => row.way === way)?.ours ?? Number.NaN;
  return ratio('cp -a') <= engineGoals.overCopy && ratio('save|load') <= 1 / engineGoals.overLoad;
}
