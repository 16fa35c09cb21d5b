import {
  type ByteRange,
  type ByteReader,
  type FileTree,
  MigrateError,
  readerOf,
  type TreeEntry,
  type TreeEntryKind,
} from '@migrate/core';
import { readDirectory } from './directory.ts';
import { damaged, notReadable } from './ext4-error.ts';
import { type Ext4Source, openSource } from './ext4-source.ts';
import { readAttributes } from './extended-attributes.ts';
import { rangesOf, runsReader } from './file-contents.ts';
import { damagedInode, deviceNumberOf, type Inode, modifiedNsOf, ownerOf, readInode, rootInode } from './inode.ts';
import { inlineContents, isInline, readTarget, runsOfLatest } from './inode-contents.ts';
import { type KeptPaths, keptInodes } from './kept-inodes.ts';
import { type ReplaceableRequest, readReplaceableRanges } from './replaceable-ranges.ts';
import { readUsedRanges } from './used-ranges.ts';

/** An ext2, ext3 or ext4 file system. What it cannot read it refuses with `unsupported`, naming the feature. */
export interface Ext4Volume extends FileTree {
  /** Empty where there is none. */
  readonly label: string;
  readonly uuid: string;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly freeBlocks: number;
  readonly inodeCount: number;
  /** As dumpe2fs prints them: "has_journal", "extent", "metadata_csum"… */
  readonly features: readonly string[];
  /** Of the file system; its partition may be larger. */
  readonly sizeBytes: number;
  /** What lies at a path ("/etc/fstab"; "." and ".." are no names); links are not followed. Undefined where nothing does. */
  find(path: string): Promise<TreeEntry | undefined>;
  /**
   * Bytes in use, metadata and boot block too, ascending and apart. A disk to which only these are written has the same file
   * system, whatever lay there before. Throws `invalid-input` where that cannot be known for sure.
   */
  usedRanges(): Promise<readonly ByteRange[]>;
  /** Where the contents of a file lie in the file system, in the order of the file. */
  placesOf(entry: TreeEntry): Promise<readonly FilePlace[]>;
  /**
   * What may be overwritten where nothing is needed any more but the structure of the file system and some files, which can then still
   * be read: see readReplaceableRanges.
   */
  replaceableRanges(
    request: { readonly keeps: KeptPaths } & Omit<ReplaceableRequest, 'keeps'>,
  ): Promise<readonly ByteRange[]>;
}

/** A part of a file in one run. */
export interface FilePlace {
  readonly fileByte: number;
  /** In the file system. */
  readonly startByte: number;
  readonly sizeBytes: number;
}

/**
 * Opens the ext2, ext3 or ext4 that starts at byte 0 of `reader` (see windowOf for one inside an image), which must stay open.
 * Nothing is written, and no journal replayed. Metadata checksums are checked wherever the file system has them.
 */
export async function openExt4(reader: ByteReader): Promise<Ext4Volume> {
  const source = await openSource(reader);
  const { superblock } = source;
  const { blockBytes, blockCount } = superblock;
  const root = toEntry(await readInode(source, rootInode), new Uint8Array());
  if (root.kind !== 'directory') throw damaged('its root is no directory');
  const loadRuns = runsOfLatest(source);

  /** Else a walk could lead in circles. */
  const parents = new Map([[rootInode, 0]]);
  const checkParent = ({ kind, inode }: TreeEntry, parent: number): void => {
    if (kind !== 'directory') return;
    if ((parents.get(inode) ?? parent) !== parent) throw damagedInode(inode, 'the directory has two names');
    parents.set(inode, parent);
  };

  const children = async (directory: TreeEntry): Promise<readonly TreeEntry[]> => {
    const entries: TreeEntry[] = [];
    const directories = new Set<number>();
    for (const { name, inode } of await readDirectory(source, await inodeOf(source, directory, 'directory'))) {
      const entry = toEntry(await readInode(source, inode), name);
      checkParent(entry, directory.inode);
      if (directories.has(inode)) throw damagedInode(inode, 'the directory has two names');
      if (entry.kind === 'directory') directories.add(inode);
      entries.push(entry);
    }
    return entries;
  };

  const find = async (path: string): Promise<TreeEntry | undefined> => {
    let entry = root;
    for (const part of path.split('/').filter((name) => name !== '')) {
      if (entry.kind !== 'directory') return undefined;
      const wanted = Buffer.from(part);
      const names = await readDirectory(source, await readInode(source, entry.inode));
      const found = names.find(({ name }) => wanted.equals(name));
      if (found === undefined) return undefined;
      const next = toEntry(await readInode(source, found.inode), found.name);
      checkParent(next, entry.inode);
      entry = next;
    }
    return entry;
  };

  const linkTarget = async (entry: TreeEntry): Promise<Uint8Array> =>
    readTarget(source, await inodeOf(source, entry, 'symlink'));

  return {
    root,
    label: superblock.label,
    uuid: superblock.uuid,
    blockBytes,
    blockCount,
    freeBlocks: superblock.freeBlocks,
    inodeCount: superblock.inodeCount,
    features: superblock.features,
    sizeBytes: blockBytes * blockCount,
    children,
    find,
    linkTarget,
    extendedAttributes: async (entry) => readAttributes(source, await readInode(source, entry.inode)),
    dataRanges: async (entry) => {
      const inode = await inodeOf(source, entry, 'file');
      if (isInline(inode)) return inode.sizeBytes === 0 ? [] : [{ startByte: 0, endByte: inode.sizeBytes }];
      return rangesOf(await loadRuns(inode), blockBytes, inode.sizeBytes);
    },
    open: ({ inode: number, sizeBytes, kind }) => {
      const load = async (): Promise<ByteReader> => {
        const inode = await inodeOf(source, { inode: number }, 'file');
        return isInline(inode)
          ? readerOf(inlineContents(inode))
          : runsReader(source, inode.sizeBytes, await loadRuns(inode));
      };
      let contents: Promise<ByteReader> | undefined;
      return {
        sizeBytes: kind === 'file' ? sizeBytes : 0,
        read: async (target, position) => {
          contents ??= load();
          return (await contents).read(target, position);
        },
        close: async () => {},
      };
    },
    usedRanges: () => readUsedRanges(source),
    placesOf: async (entry) => {
      const inode = await inodeOf(source, entry, 'file');
      if (isInline(inode)) throw notReadable(`inode ${inode.number} has no blocks: its contents lie in the inode`);
      return (await loadRuns(inode)).map(({ fileBlock, diskBlock, blocks }) => ({
        fileByte: fileBlock * blockBytes,
        startByte: diskBlock * blockBytes,
        sizeBytes: blocks * blockBytes,
      }));
    },
    replaceableRanges: async ({ keeps, ...range }) =>
      readReplaceableRanges(source, { ...range, keeps: await keptInodes({ root, children, linkTarget }, keeps) }),
  };
}

async function inodeOf(
  source: Ext4Source,
  { inode: number }: Pick<TreeEntry, 'inode'>,
  kind: TreeEntryKind,
): Promise<Inode> {
  const inode = await readInode(source, number);
  if (inode.kind !== kind) throw new MigrateError('invalid-input', `inode ${number} is a ${inode.kind} and no ${kind}`);
  return inode;
}

function toEntry(inode: Inode, name: Uint8Array): TreeEntry {
  const { kind, mode, links, sizeBytes } = inode;
  const { uid, gid } = ownerOf(inode);
  const isDevice = kind === 'block-device' || kind === 'character-device';
  return {
    name,
    kind,
    mode,
    uid,
    gid,
    modifiedNs: modifiedNsOf(inode),
    sizeBytes: kind === 'file' || kind === 'symlink' ? sizeBytes : 0,
    inode: inode.number,
    links,
    ...(isDevice ? { represents: deviceNumberOf(inode) } : {}),
  };
}
