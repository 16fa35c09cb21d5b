// Puts images into the data root of an engine that is not running.
import { randomBytes } from 'node:crypto';
import { doing, type Emit, type Host, MigrateError, withLock } from '@migrate/core';
import type { Digest } from '../root/digest.ts';
import { findImages, namedImages } from '../root/find-images.ts';
import { type DataRoot, readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles } from '../root/root-files.ts';
import { requireCaseSensitive, requireRoot, requireSpace } from './check-target.ts';
import { refuseRunningEngine } from './engine-running.ts';
import type { ImageSource, SpaceNeed } from './image-source.ts';
import { clearInterrupted } from './interrupted.ts';
import {
  type Journal,
  journalPath,
  listContainers,
  readRepositoriesText,
  removeTrees,
  undoByJournal,
  workDirectoryName,
  writeJournal,
} from './journal.ts';
import { missingDirectories, placeAll, placedPaths } from './place.ts';
import {
  type NewLayer,
  type NewNames,
  type OnTakenName,
  planTransplant,
  type TakenName,
  type TransplantPlan,
} from './plan-transplant.ts';
import { stageAll } from './stage.ts';
import { readTargetState } from './target-state.ts';

export interface TransplantRequest {
  readonly host: Host;
  readonly source: ImageSource;
  /** As `findImages` takes them; undefined for all images that have a name. */
  readonly names?: readonly string[];
  /** The data root that gets the images: `docker` on a mounted resin-data, or /var/lib/docker of a system that is not running. */
  readonly root: string;
  /** Default: 'refuse'. */
  readonly onTakenName?: OnTakenName;
  readonly emit: Emit;
}

export interface TransplantResult {
  readonly images: readonly {
    readonly id: Digest;
    readonly references: readonly string[];
    readonly wasPresent: boolean;
  }[];
  readonly newLayers: number;
  readonly reusedLayers: number;
  /** Sum of the sizes that the engine records for the new layers. */
  readonly newBytes: number;
  /** Names that the target used for other images: moved or kept, as was asked. */
  readonly takenNames: readonly TakenName[];
}

/**
 * Copies images with all their layers into a data root. Layers, images and names that are already there are reused, so a second
 * run changes nothing. A failure takes back exactly what was made; a run that was killed shows the engine whole images or none,
 * and is completed by the next. Throws `unsupported` without root, on a case-insensitive file system and for a foreign storage
 * driver, `busy` while an engine runs on the root, `locked` while another run works on it, `not-found` for unknown images,
 * `invalid-input` for damage and taken names, and `no-space`.
 */
export async function transplant(request: TransplantRequest): Promise<TransplantResult> {
  const { host, source, root } = request;
  await requireRoot(host);
  if ((await host.status(root))?.kind !== 'directory')
    throw new MigrateError('not-found', `there is no directory ${root}`);
  const images = findImages(source, request.names ?? namedImages(source));
  await refuseRunningEngine(host, root);
  // Before anything is written, even the lock: what is refused stays as it was.
  await readDataRoot(directoryFiles(host, root));
  return doing(`putting images into ${root}`, 'write-failed', () =>
    withLock(host, `${root}/${workDirectoryName}`, async () => {
      const former = await clearInterrupted(host, root);
      const stage = `${root}/${workDirectoryName}/stage`;
      try {
        const target = await readDataRoot(directoryFiles(host, root));
        const state = await readTargetState(target, images);
        const plan = planTransplant({ images, target: state, onTakenName: request.onTakenName ?? 'refuse', newNames });
        await carryOut({ request, plan, former, stage });
        return resultOf(plan, target);
      } finally {
        await removeTrees(host, [stage]);
      }
    }),
  );
}

/** Random names, as moby draws them. */
export const newNames: NewNames = {
  cacheId: () => randomBytes(32).toString('hex'),
  link: () => {
    // 26 characters of base 32, as moby draws them (overlay2: generateID).
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    return [...randomBytes(26)].map((byte) => alphabet[byte % 32]).join('');
  },
};

async function carryOut({
  request: { host, source, root, emit },
  plan,
  former,
  stage,
}: {
  request: TransplantRequest;
  plan: TransplantPlan;
  former: Journal | undefined;
  stage: string;
}): Promise<void> {
  const hasWork = plan.layers.length > 0 || plan.images.length > 0 || plan.repositories !== undefined;
  if (hasWork) {
    await host.makeDirectory(stage, 0o700);
    await requireCaseSensitive(host, stage);
    await requireSpace(host, root, await spaceNeed(source, plan));
    const directories = await missingDirectories(host, root);
    const journal: Journal = {
      made: [...(former?.made ?? []), ...directories.map(({ path }) => path), ...placedPaths(plan)],
      repositories: await readRepositoriesText(host, root),
      containers: await listContainers(host, root),
    };
    await refuseObstacles(host, root, placedPaths(plan));
    await stageAll({ host, source, plan, stage, onLayer: reportProgress(plan, emit) });
    // An engine that was started meanwhile would overwrite our names.
    await refuseRunningEngine(host, root);
    await writeJournal(host, root, journal);
    try {
      for (const { path, mode } of directories) await host.makeDirectory(`${root}/${path}`, mode);
      await placeAll({ host, root, stage, plan });
      await host.removeFile(journalPath(root));
    } catch (thrown) {
      await undoByJournal(host, root, journal);
      await host.removeFile(journalPath(root));
      throw thrown;
    }
  } else {
    await host.removeFile(journalPath(root));
  }
}

/** What has our names but is no part of any image or layer is not ours to replace, and undo must not remove it. */
async function refuseObstacles(host: Host, root: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if ((await host.linkStatus(`${root}/${path}`)) !== undefined)
      throw new MigrateError('invalid-input', `${root}/${path} is in the way and belongs to no image: remove it`);
  }
}

async function spaceNeed(source: ImageSource, plan: TransplantPlan): Promise<SpaceNeed> {
  const need = await source.measure(plan.layers.map(({ source: layer }) => layer));
  // Directories and small files of each layer and image.
  const pieces = plan.layers.length + plan.images.length;
  return { bytes: need.bytes + pieces * 64 * 1024, inodes: need.inodes + pieces * 16 };
}

function reportProgress(plan: TransplantPlan, emit: Emit): (layer: NewLayer) => void {
  const total = totalBytes(plan);
  let done = 0;
  return ({ source }) => {
    done += source.sizeBytes;
    emit({ kind: 'progress', text: 'copying layers', done, total, unit: 'bytes' });
  };
}

function totalBytes({ layers }: TransplantPlan): number {
  return layers.reduce((sum, { source }) => sum + source.sizeBytes, 0);
}

function resultOf(plan: TransplantPlan, target: DataRoot): TransplantResult {
  const present = new Set(target.images.map(({ id }) => id));
  const images = [...plan.images.map(({ image }) => image), ...plan.presentImages];
  return {
    images: images.map(({ id, references }) => ({ id, references, wasPresent: present.has(id) })),
    newLayers: plan.layers.length,
    reusedLayers: plan.reusedLayers.length,
    newBytes: totalBytes(plan),
    takenNames: plan.takenNames,
  };
}
