// Which files are meant by paths whose contents must stay: with all that lies below them, and what links among it lead to.
import { type FileTree, MigrateError, type TreeEntry } from '@migrate/core';

/** Paths from the root of the file system. */
export interface KeptPaths {
  /** Files and directories that must be there. */
  readonly required: readonly string[];
  /** Files that need not be there. */
  readonly optional: readonly string[];
}

/** As many as the kernel follows (MAXSYMLINKS in include/linux/namei.h). */
const maximumLinks = 40;

type Tree = Pick<FileTree, 'root' | 'children' | 'linkTarget'>;

/** Numbers of their inodes. Throws `not-found` where a required one is missing. */
export async function keptInodes(tree: Tree, { required, optional }: KeptPaths): Promise<ReadonlySet<number>> {
  const kept = new Set<number>();
  const keep = async (found: Found): Promise<void> => {
    const pending = [found];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (kept.has(next.entry.inode)) continue;
      kept.add(next.entry.inode);
      if (next.entry.kind === 'symlink') {
        // A link that leads nowhere, or to another file system, leads to nothing here.
        const target = await follow(tree, next.path);
        if (target !== undefined) pending.push(target);
      }
      if (next.entry.kind !== 'directory') continue;
      for (const child of await tree.children(next.entry))
        pending.push({ entry: child, path: [...next.path, nameOf(child)] });
    }
  };
  for (const path of required) {
    const found = await follow(tree, partsOf(path));
    if (found === undefined) throw new MigrateError('not-found', `the file system has no ${path}`);
    await keep(found);
  }
  for (const path of optional) {
    const found = await follow(tree, partsOf(path));
    if (found?.entry.kind === 'file') await keep(found);
  }
  return kept;
}

interface Found {
  readonly entry: TreeEntry;
  /** Without links. */
  readonly path: readonly string[];
}

/** What a path leads to, links followed; undefined where it leads to nothing. */
async function follow(tree: Tree, path: readonly string[]): Promise<Found | undefined> {
  const root: Found = { entry: tree.root, path: [] };
  let way: Found[] = [root];
  let links = 0;
  const names = [...path];
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === '.') continue;
    if (name === '..') {
      way = way.length > 1 ? way.slice(0, -1) : way;
      continue;
    }
    const here = way.at(-1) ?? root;
    if (here.entry.kind !== 'directory') return undefined;
    const wanted = Buffer.from(name);
    const entry = (await tree.children(here.entry)).find((child) => wanted.equals(child.name));
    if (entry === undefined) return undefined;
    if (entry.kind !== 'symlink') {
      way.push({ entry, path: [...here.path, name] });
      continue;
    }
    links += 1;
    if (links > maximumLinks) return undefined;
    const target = Buffer.from(await tree.linkTarget(entry)).toString();
    if (target.startsWith('/')) way = [root];
    names.unshift(...partsOf(target));
  }
  return way.at(-1);
}

function partsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}

function nameOf({ name }: TreeEntry): string {
  return Buffer.from(name).toString();
}
