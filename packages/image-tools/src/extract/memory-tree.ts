// Trees of files in memory for tests.
import {
  type ByteRange,
  type DeviceNumber,
  type ExtendedAttribute,
  type FileTree,
  MigrateError,
  readerOf,
  type TreeEntry,
  type TreeEntryKind,
} from '@migrate/core';

export interface MemoryEntry {
  readonly name: string | Uint8Array;
  readonly kind: TreeEntryKind;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly modifiedNs?: bigint;
  /** Entries with the same one are hard links; left out: its own. */
  readonly inode?: number;
  readonly links?: number;
  readonly represents?: DeviceNumber;
  readonly attributes?: readonly ExtendedAttribute[];
  /** Of a directory. */
  readonly children?: readonly MemoryEntry[];
  /** Of a file, or the target of a symlink. */
  readonly contents?: string | Uint8Array;
  /** Of a file; left out: all of it. */
  readonly data?: readonly ByteRange[];
}

/** A tree whose root is a directory with `children`; `root` changes the root itself. */
export function memoryTree(children: readonly MemoryEntry[], root: Partial<MemoryEntry> = {}): FileTree {
  const sources = new Map<TreeEntry, MemoryEntry>();
  let inode = 1000;
  const entryOf = (source: MemoryEntry): TreeEntry => {
    const { name, kind, mode = 0o644, uid = 0, gid = 0, modifiedNs = 0n, links = 1, represents } = source;
    inode += 1;
    const entry: TreeEntry = {
      name: Buffer.from(name),
      kind,
      mode,
      uid,
      gid,
      modifiedNs,
      sizeBytes: Buffer.from(source.contents ?? '').length,
      inode: source.inode ?? inode,
      links,
      ...(represents === undefined ? {} : { represents }),
    };
    sources.set(entry, source);
    return entry;
  };
  const sourceOf = (entry: TreeEntry): MemoryEntry => {
    const source = sources.get(entry);
    if (source === undefined) throw new MigrateError('internal', 'the entry is of another tree');
    return source;
  };
  return {
    root: entryOf({ name: '', kind: 'directory', mode: 0o755, inode: 2, ...root, children }),
    children: async (directory) => (sourceOf(directory).children ?? []).map(entryOf),
    linkTarget: async (symlink) => Buffer.from(sourceOf(symlink).contents ?? ''),
    extendedAttributes: async (entry) => sourceOf(entry).attributes ?? [],
    dataRanges: async (file) => sourceOf(file).data ?? [{ startByte: 0, endByte: file.sizeBytes }],
    open: (file) => readerOf(Buffer.from(sourceOf(file).contents ?? '')),
  };
}
