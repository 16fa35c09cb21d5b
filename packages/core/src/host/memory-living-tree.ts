// The tree of a machine in memory.
import { readerOf } from '../disk/byte-reader.ts';
import type { LivingEntry, LivingTree } from './living-tree.ts';
import type { MemoryNode } from './memory-host.ts';

/** What lies below `path` in a map of nodes by their absolute paths. */
export function memoryTreeAt(nodes: ReadonlyMap<string, MemoryNode>, path: string): LivingTree | undefined {
  const paths = new WeakMap<LivingEntry, string>();
  const inodes = [...nodes.keys()];
  const pathOf = (entry: LivingEntry): string => paths.get(entry) ?? '';
  const entryAt = (at: string, name: string): LivingEntry | undefined => {
    const node = nodes.get(at);
    if (node === undefined) return undefined;
    const inode = inodes.indexOf(at);
    const entry: LivingEntry = {
      name: Buffer.from(name),
      kind: node.kind,
      mode: node.kind === 'symlink' ? 0o777 : node.mode,
      uid: node.kind === 'file' ? node.uid : 0,
      gid: node.kind === 'file' ? node.gid : 0,
      modifiedNs: BigInt(node.kind === 'file' ? Math.round(node.modifiedMs * 1e6) : 1_000_000),
      sizeBytes: node.kind === 'file' ? node.contents.length : node.kind === 'symlink' ? node.target.length : 0,
      inode,
      links: 1,
      identity: `0:${inode}`,
      isElsewhere: false,
    };
    paths.set(entry, at);
    return entry;
  };
  const root = entryAt(path, '');
  if (root === undefined) return undefined;
  return {
    root,
    children: async function* (directory) {
      const prefix = `${pathOf(directory) === '/' ? '' : pathOf(directory)}/`;
      const names = [...nodes.keys()]
        .filter((at) => at.startsWith(prefix) && at !== prefix && !at.slice(prefix.length).includes('/'))
        .map((at) => at.slice(prefix.length));
      for (const name of names.sort()) {
        const entry = entryAt(`${prefix}${name}`, name);
        if (entry !== undefined) yield entry;
      }
    },
    linkTarget: async (symlink) => {
      const node = nodes.get(pathOf(symlink));
      return node?.kind === 'symlink' ? Buffer.from(node.target) : undefined;
    },
    extendedAttributes: async () => [],
    open: async (file) => {
      const node = nodes.get(pathOf(file));
      return node?.kind === 'file' ? readerOf(node.contents) : undefined;
    },
  };
}
