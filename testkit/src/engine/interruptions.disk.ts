// Transplants that fail or are killed at any of their changes.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost, MigrateError } from '@migrate/core';
import { undoInterrupted } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleProgram } from '../bench/bundle-program.ts';
import { withEngine } from './docker-engine.ts';
import { interferingHost } from './interfering-host.ts';
import { layerTrees, rootState } from './layer-trees.ts';
import { makeSmallRoots, putImages, type SmallRoots } from './small-roots.ts';
import { testImages } from './test-images.ts';

let roots: SmallRoots;
let program: string;
/** All changes of a transplant from the source to a copy of the template, and what it leads to. */
let changes: readonly string[];
let finished: string;
let finishedTrees: ReadonlyMap<string, string>;
const host = createNodeHost();

beforeAll(async () => {
  roots = await makeSmallRoots();
  program = await bundleProgram('../engine/killed-transplant', roots.work);
  const target = await freshTarget();
  const seen: string[] = [];
  await putImages(roots.source, target, { host: interferingHost(host, (_, change) => seen.push(change)) });
  changes = seen;
  finished = await rootState(target);
  finishedTrees = await layerTrees(target);
});

afterAll(() => roots.remove());

function freshTarget(): Promise<string> {
  return roots.copy('template', 'target');
}

/** A copy of the template in which a run was killed ahead of its change number `index`. */
async function killedAt(index: number): Promise<string> {
  const target = await freshTarget();
  const result = await execa('node', [program, roots.source, target, String(index)], { reject: false });
  expect(result.signal, result.stderr).toBe('SIGKILL');
  return target;
}

/** A copying child outlives the killed process for a moment, in which the root is refused as busy. */
async function whenNotBusy<T>(action: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) || thrown.code !== 'busy') throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Every `step`-th number below the count of changes, and the last. */
function sampled(step: number): readonly number[] {
  return [...changes.keys()].filter((index) => index % step === 0 || index === changes.length - 1);
}

describe('a transplant', () => {
  test('that fails at any single change leaves the root as it was', async () => {
    const target = await freshTarget();
    const before = await rootState(target);
    // When the lock or the emptied work directory cannot be removed, all images are in already.
    const removal = changes.findLastIndex((change) => change.startsWith('removeFile') && change.includes('journal'));
    expect(removal).toBeGreaterThan(50);
    const placing = changes.findIndex((change) => change.startsWith('writeDurable') && change.includes('journal'));
    for (let failing = 0; failing <= removal; failing += failing < placing ? 5 : 1) {
      const through = interferingHost(host, (index, change) => {
        if (index === failing) throw new MigrateError('write-failed', `not this one: ${change}`);
      });
      await expect(putImages(roots.source, target, { host: through }), changes[failing]).rejects.toThrow(
        'not this one',
      );
      const leftover = (await readdir(target)).includes('.migrate-inject');
      // Only a lock that cannot be removed stays, and is recognised as stale.
      if (!leftover) expect(await rootState(target), changes[failing]).toBe(before);
      await rm(join(target, '.migrate-inject'), { recursive: true, force: true });
      expect(await rootState(target), changes[failing]).toBe(before);
    }
  });

  test('that is killed at any change is completed by the next run', async () => {
    for (const index of sampled(7)) {
      const target = await killedAt(index);
      await whenNotBusy(() => putImages(roots.source, target));
      expect(await rootState(target), changes[index]).toBe(finished);
      expect(await layerTrees(target), changes[index]).toEqual(finishedTrees);
    }
  });

  test('that is killed is taken back by undo', async () => {
    const before = await rootState(await freshTarget());
    for (const index of sampled(15).slice(0, -1)) {
      const target = await killedAt(index);
      await whenNotBusy(() => undoInterrupted(host, target));
      await rm(join(target, '.migrate-inject'), { recursive: true, force: true });
      expect(await rootState(target), changes[index]).toBe(before);
    }
  });

  test('that is killed never shows the engine an image that does not run', async () => {
    const placing = changes.findIndex((change) => change.startsWith('writeDurable') && change.includes('journal'));
    const span = changes.length - placing;
    for (const part of [0.3, 0.6, 0.75, 0.85, 0.95]) {
      const index = placing + Math.floor(span * part);
      const target = await killedAt(index);
      await withEngine(target, async ({ docker }) => {
        expect(await docker('images', '--format', '{{.Repository}}')).toContain('other');
        for (const id of (await docker('images', '--all', '--quiet', '--no-trunc')).split('\n')) {
          await docker('inspect', id);
          const isOther = (await docker('inspect', '--format', '{{.RepoTags}}', id)).includes('other');
          await docker('run', '--rm', '--network', 'none', id, isOther ? '/busybox' : '/bin/busybox', 'true');
        }
      });
      await whenNotBusy(() => putImages(roots.source, target));
      expect(await layerTrees(target), changes[index]).toEqual(finishedTrees);
      await withEngine(target, async ({ docker }) => {
        const listed = await docker('images', '--format', '{{.Repository}}:{{.Tag}}');
        for (const name of testImages) expect(listed).toContain(name);
      });
    }
  });
});
