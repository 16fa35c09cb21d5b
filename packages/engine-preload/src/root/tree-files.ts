// A data root inside a tree of files: resin-data of an image, or an archive.
import { type FileTree, MigrateError, readExactly, type TreeEntry } from '@migrate/core';
import type { RootFiles } from './root-files.ts';

/** The entry at `path` below `from`, without following symlinks; undefined where nothing is there. */
export async function findEntry(tree: FileTree, path: string, from = tree.root): Promise<TreeEntry | undefined> {
  let entry: TreeEntry | undefined = from;
  for (const part of path.split('/').filter((name) => name !== '')) {
    if (entry?.kind !== 'directory') return undefined;
    const wanted = Buffer.from(part);
    entry = (await tree.children(entry)).find(({ name }) => wanted.equals(name));
  }
  return entry;
}

/** The data root at `directory` of a tree ("docker" on balenaOS's resin-data); `label` is what messages call it. */
export function treeFiles(tree: FileTree, directory: string, label: string): RootFiles {
  // Directories of a data root are asked for again and again: each is read once.
  const directories = new Map<string, Promise<ReadonlyMap<string, TreeEntry>>>();
  const namesIn = (path: string): Promise<ReadonlyMap<string, TreeEntry>> => {
    const known = directories.get(path);
    if (known !== undefined) return known;
    const read = readNames(path);
    directories.set(path, read);
    return read;
  };
  const readNames = async (path: string): Promise<ReadonlyMap<string, TreeEntry>> => {
    const entry = path === '' ? await findEntry(tree, directory) : await find(path);
    const children = entry?.kind === 'directory' ? await tree.children(entry) : [];
    return new Map(children.map((child) => [Buffer.from(child.name).toString(), child]));
  };
  const find = async (path: string): Promise<TreeEntry | undefined> => {
    const slash = path.lastIndexOf('/');
    return (await namesIn(path.slice(0, Math.max(slash, 0)))).get(path.slice(slash + 1));
  };
  return {
    label,
    list: async (path) => [...(await namesIn(path)).keys()].sort(),
    status: find,
    readLink: async (path) => {
      const entry = await find(path);
      return entry?.kind === 'symlink' ? Buffer.from(await tree.linkTarget(entry)).toString() : undefined;
    },
    readFile: async (path, limitBytes) => {
      const entry = await find(path);
      if (entry?.kind !== 'file') return undefined;
      if (entry.sizeBytes > limitBytes) {
        throw new MigrateError('read-failed', `${label}: ${path} is larger than ${limitBytes} bytes`);
      }
      const reader = tree.open(entry);
      try {
        return await readExactly(reader, 0, entry.sizeBytes);
      } finally {
        await reader.close();
      }
    },
    open: async (path) => {
      const entry = await find(path);
      if (entry?.kind !== 'file') throw new MigrateError('read-failed', `${label}: ${path} is no file`);
      return tree.open(entry);
    },
  };
}
