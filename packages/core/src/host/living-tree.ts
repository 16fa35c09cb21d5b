// A tree of files of the running system, which may change while it is read.
import type { ExtendedAttribute, TreeEntry } from '../disk/file-tree.ts';
import type { ByteReader } from './host.ts';

export interface LivingEntry extends TreeEntry {
  /** Device and inode: entries with the same one are hard links of one file. */
  readonly identity: string;
  /** It belongs to another file system than the root of the tree: something is mounted there. */
  readonly isElsewhere: boolean;
}

/**
 * What lies below a path at the time of each call. Symbolic links are never followed, so that nothing outside of the tree is
 * read, whoever changes it meanwhile. An entry may be used until the receiver asks `children` of its directory for the next one.
 */
export interface LivingTree {
  readonly root: LivingEntry;
  /** Entries of a directory, sorted by the bytes of their names; none where it has gone. */
  children(directory: LivingEntry): AsyncGenerator<LivingEntry>;
  /** Target of a symlink as it is written; undefined where it has gone. */
  linkTarget(symlink: LivingEntry): Promise<Uint8Array | undefined>;
  /** Sorted by name. Throws `not-found` where the program getfattr is missing. */
  extendedAttributes(entry: LivingEntry): Promise<readonly ExtendedAttribute[]>;
  /** The contents of a file, with the size that it has when it is opened; undefined where it has gone. */
  open(file: LivingEntry): Promise<ByteReader | undefined>;
}
