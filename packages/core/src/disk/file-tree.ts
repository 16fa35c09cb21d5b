// What readers of file systems give and what archives, copies and transplants take: a tree of files as it lies in an image,
// without a mount and without root.
import type { ByteRange, ByteReader, DeviceNumber } from '../host/host.ts';

export type TreeEntryKind = 'file' | 'directory' | 'symlink' | 'block-device' | 'character-device' | 'fifo' | 'socket';

/** One name in a tree and the inode it stands for. */
export interface TreeEntry {
  /** The bytes of the name, without a slash; Linux names need not be UTF-8. Empty for the root. */
  readonly name: Uint8Array;
  readonly kind: TreeEntryKind;
  /** Permission bits only (0o7777). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since 1970; negative before. */
  readonly modifiedNs: bigint;
  /** Length of a file or of the target of a symlink; 0 for all else. */
  readonly sizeBytes: number;
  /** Entries of one tree with the same inode are hard links of one file. */
  readonly inode: number;
  /** Names that the inode has. */
  readonly links: number;
  /** The device that a device node stands for. */
  readonly represents?: DeviceNumber;
}

export interface ExtendedAttribute {
  /** Full name with its namespace: "security.capability", "trusted.overlay.opaque", "system.posix_acl_access". */
  readonly name: string;
  readonly value: Uint8Array;
}

/**
 * A file system that is only read. All methods throw `invalid-input` for damage, naming the inode or place, and none of them
 * takes unbounded time or memory whatever the file system says of itself. Entries may be used until the tree is closed.
 */
export interface FileTree {
  readonly root: TreeEntry;
  /** Entries of a directory in the order that they lie in, without "." and "..". */
  children(directory: TreeEntry): Promise<readonly TreeEntry[]>;
  /** Target of a symlink as it is written. */
  linkTarget(symlink: TreeEntry): Promise<Uint8Array>;
  /** Sorted by name. Values are as the kernel gives them to user space (POSIX ACLs: include/uapi/linux/posix_acl_xattr.h). */
  extendedAttributes(entry: TreeEntry): Promise<readonly ExtendedAttribute[]>;
  /** Ranges of a file that hold data, ascending and apart; between them it reads as zeros. */
  dataRanges(file: TreeEntry): Promise<readonly ByteRange[]>;
  /** The contents of a file; its holes read as zeros. */
  open(file: TreeEntry): ByteReader;
}
