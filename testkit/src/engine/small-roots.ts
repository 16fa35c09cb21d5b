// Two small data roots in memory, made by a real engine, for tests of what happens to them.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost, type Host } from '@migrate/core';
import { directorySource, type OnTakenName, type TransplantResult, transplant } from '@migrate/engine-preload';
import { execa } from 'execa';
import { withEngine } from './docker-engine.ts';
import { buildTestImages } from './test-images.ts';

export interface SmallRoots {
  readonly work: string;
  /** The three test images. */
  readonly source: string;
  /** An image of its own, other:1, whose program is /busybox. */
  readonly template: string;
  /** A fresh copy of one of them. */
  copy(of: 'source' | 'template', name: string): Promise<string>;
  remove(): Promise<void>;
}

export async function makeSmallRoots(): Promise<SmallRoots> {
  const work = await mkdtemp('/dev/shm/engine-roots-');
  const roots = { source: join(work, 'source'), template: join(work, 'template') };
  const archive = join(work, 'other.tar');
  await execa('tar', ['-C', '/bin', '-cf', archive, 'busybox']);
  await withEngine(roots.source, async (engine) => {
    await buildTestImages(engine, 3);
    await engine.docker('rmi', 'base:1');
  });
  await withEngine(roots.template, (engine) => engine.docker('import', archive, 'other:1'));
  return {
    work,
    ...roots,
    copy: async (of, name) => {
      const path = join(work, name);
      await rm(path, { recursive: true, force: true });
      await execa('cp', ['-a', roots[of], path]);
      return path;
    },
    remove: () => rm(work, { recursive: true, force: true }),
  };
}

/** Puts all named images of the root `source` into the root `target`. */
export async function putImages(
  source: string,
  target: string,
  { host = createNodeHost(), onTakenName }: { host?: Host; onTakenName?: OnTakenName } = {},
): Promise<TransplantResult> {
  const images = await directorySource(createNodeHost(), source);
  const choice = onTakenName === undefined ? {} : { onTakenName };
  return transplant({ host, source: images, root: target, emit: () => {}, ...choice });
}
