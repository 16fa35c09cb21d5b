// What a run that was killed has left in a data root.
import { type Host, withLock } from '@migrate/core';
import { cachePath } from '../root/layer-store.ts';
import { contentPath, metadataPath } from '../root/read-data-root.ts';
import { requireRoot } from './check-target.ts';
import { refuseRunningEngine } from './engine-running.ts';
import {
  type Journal,
  journalPath,
  listContainers,
  readJournal,
  readRepositoriesText,
  removeTrees,
  undoByJournal,
  workDirectoryName,
} from './journal.ts';

const layerStorePath = 'image/overlay2/layerdb/sha256';

/**
 * Takes back what a killed run left in the data root `root`; false where there is no such run. Throws as `transplant` does for
 * a missing root, a running engine and another run at work.
 */
export async function undoInterrupted(host: Host, root: string): Promise<boolean> {
  await requireRoot(host);
  await refuseRunningEngine(host, root);
  if ((await host.status(journalPath(root))) === undefined) return false;
  return withLock(host, `${root}/${workDirectoryName}`, async () => {
    const journal = await clearInterrupted(host, root);
    if (journal !== undefined) await undoByJournal(host, root, journal);
    await host.removeFile(journalPath(root));
    return true;
  });
}

/**
 * Removes the incomplete pieces of a killed run. Its layers and images that are whole stay, and are reused by the next run. The
 * journal returned names them, so that a failure of that run takes them back too; undefined where there is nothing to take
 * back: no run was killed, it had finished, or an engine has run since and may use them.
 */
export async function clearInterrupted(host: Host, root: string): Promise<Journal | undefined> {
  await removeTrees(host, [`${root}/${workDirectoryName}/stage`]);
  const journal = await readJournal(host, root);
  if (journal === undefined) return undefined;
  await removeTrees(
    host,
    (await incompletePieces(host, root, journal)).map((path) => `${root}/${path}`),
  );
  const isUntouched =
    (await readRepositoriesText(host, root)) === journal.repositories &&
    (await listContainers(host, root)).every((name) => journal.containers.includes(name));
  if (!isUntouched) return undefined;
  const made: string[] = [];
  for (const path of journal.made) {
    if ((await host.linkStatus(`${root}/${path}`)) !== undefined) made.push(path);
  }
  return { ...journal, made };
}

/** Files and links of layers that never got into the layer store, and metadata of images whose configuration is missing. */
async function incompletePieces(host: Host, root: string, { made }: Journal): Promise<readonly string[]> {
  const usedCaches = new Set<string>();
  for (const name of await host.list(`${root}/${layerStorePath}`)) {
    usedCaches.add(cachePath((await host.readText(`${root}/${layerStorePath}/${name}/cache-id`)) ?? ''));
  }
  const pieces: string[] = [];
  for (const path of made) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (path.startsWith('overlay2/l/')) {
      const [, cacheId = ''] = /^\.\.\/([0-9a-f]+)\/diff$/.exec((await host.readLink(`${root}/${path}`)) ?? '') ?? [];
      if (!usedCaches.has(cachePath(cacheId))) pieces.push(path);
    } else if (path === cachePath(name)) {
      if (/^[0-9a-f]{64}$/.test(name) && !usedCaches.has(path)) pieces.push(path);
    } else if (path === `${metadataPath}/${name}`) {
      if ((await host.linkStatus(`${root}/${contentPath}/${name}`)) === undefined) pieces.push(path);
    }
  }
  return pieces;
}
