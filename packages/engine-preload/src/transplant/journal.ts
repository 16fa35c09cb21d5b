// What a transplant makes, written down before it is made: what undo and the next run after a kill go by.
import { doing, type Host, MigrateError } from '@migrate/core';
import { asArray, asObject, asString, parseJson } from '../root/json-file.ts';
import { repositoriesPath } from '../root/repositories.ts';

/** Our directory in the target's root: lock, journal, and all that is not complete. */
export const workDirectoryName = '.migrate-inject';
const mountsPath = 'image/overlay2/layerdb/mounts';

export interface Journal {
  /** Paths below the root, in the order they are made; each is whole once it has its name. */
  readonly made: readonly string[];
  /** repositories.json as it was before; null where there was none. */
  readonly repositories: string | null;
  /** Containers of the root when the run began: with new ones its engine has run since, and may use what was made. */
  readonly containers: readonly string[];
}

export function journalPath(root: string): string {
  return `${root}/${workDirectoryName}/journal.json`;
}

export async function writeJournal(host: Host, root: string, journal: Journal): Promise<void> {
  const contents = new TextEncoder().encode(`${JSON.stringify({ version: 1, ...journal }, null, 1)}\n`);
  await host.writeDurable(journalPath(root), contents, { mode: 0o600 });
}

/** Undefined where no run was interrupted. */
export async function readJournal(host: Host, root: string): Promise<Journal | undefined> {
  const path = journalPath(root);
  if ((await host.status(path)) === undefined) return undefined;
  const journal = asObject(parseJson(await host.readFile(path, { limitBytes: 2 ** 26 }), path), path);
  if (journal.get('version') !== 1)
    throw new MigrateError('invalid-input', `${path} is of another version of this program: finish with that one`);
  const paths = (key: string): readonly string[] =>
    asArray(journal.get(key), `${path}: ${key}`).map((value) => asString(value, `${path}: ${key}`));
  const made = paths('made');
  const astray = made.find((one) => !/^(image|overlay2)(\/[\w.]+)*$/.test(one) || one.includes('..'));
  if (astray !== undefined)
    throw new MigrateError('invalid-input', `${path}: ${JSON.stringify(astray)} is no path of ours`);
  const repositories = journal.get('repositories');
  return {
    made,
    repositories: repositories === null ? null : asString(repositories, `${path}: repositories`),
    containers: paths('containers'),
  };
}

export async function listContainers(host: Host, root: string): Promise<readonly string[]> {
  return host.list(`${root}/${mountsPath}`);
}

export async function readRepositoriesText(host: Host, root: string): Promise<string | null> {
  return (await host.readText(`${root}/${repositoriesPath}`)) ?? null;
}

/** Takes back all that a journal names, the last first, and puts repositories.json back. Throws `undo-failed`. */
export async function undoByJournal(host: Host, root: string, journal: Journal): Promise<void> {
  try {
    await doing(`undoing the changes of ${root}`, 'undo-failed', async () => {
      const path = `${root}/${repositoriesPath}`;
      if ((await readRepositoriesText(host, root)) !== journal.repositories) {
        if (journal.repositories === null) await host.removeFile(path);
        else await host.writeDurable(path, new TextEncoder().encode(journal.repositories), { mode: 0o600 });
      }
      await removeTrees(
        host,
        [...journal.made].reverse().map((made) => `${root}/${made}`),
      );
    });
  } catch (thrown) {
    if (thrown instanceof MigrateError)
      throw new MigrateError('undo-failed', `${thrown.message}; run it again to finish`, { cause: thrown });
    throw thrown;
  }
}

/** Removes files and directories with all that is in them, in this order; no error where nothing is there. */
export async function removeTrees(host: Host, paths: readonly string[]): Promise<void> {
  for (let first = 0; first < paths.length; first += pathsPerCommand) {
    const some = paths.slice(first, first + pathsPerCommand);
    await host.run('rm', ['-rf', '--one-file-system', '--', ...some], { timeoutMs: 3_600_000 });
  }
}

/** Keeps argument lists far below the kernel's limit of 128 KiB a string and about 2 MiB in all. */
const pathsPerCommand = 500;
