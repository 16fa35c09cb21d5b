import {
  type ByteRange,
  type ByteReader,
  type FileTree,
  MigrateError,
  readerOf,
  type TreeEntry,
  type TreeEntryKind,
} from '@migrate/core';
import { type BlockRun, readBlockRuns } from './block-runs.ts';
import { readDirectory } from './directory.ts';
import { damaged } from './ext4-error.ts';
import { type Ext4Source, openSource } from './ext4-source.ts';
import { inlineDataRest, readAttributes } from './extended-attributes.ts';
import { rangesOf, runsReader } from './file-contents.ts';
import {
  damagedInode,
  deviceNumberOf,
  type Inode,
  inodeFlags,
  modifiedNsOf,
  ownerOf,
  readInode,
  rootInode,
} from './inode.ts';
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
}

/** Where an inode has numbers of blocks, or in their place a short target or contents. */
const inlineStart = 0x28;
const inlineBytes = 60;

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
  const parents = new Map([[rootInode, rootInode]]);
  const loadRuns = runsOfLatest(source);

  const children = async (directory: TreeEntry): Promise<readonly TreeEntry[]> => {
    const entries: TreeEntry[] = [];
    const directories = new Set<number>();
    for (const { name, inode } of await readDirectory(source, await inodeOf(source, directory, 'directory'))) {
      const entry = toEntry(await readInode(source, inode), name);
      if (entry.kind === 'directory') {
        // Else a walk could lead in circles.
        const parent = parents.get(inode) ?? directory.inode;
        if (parent !== directory.inode || directories.has(inode))
          throw damagedInode(inode, 'the directory has two names');
        parents.set(inode, parent);
        directories.add(inode);
      }
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
      entry = toEntry(await readInode(source, found.inode), found.name);
    }
    return entry;
  };

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
    linkTarget: async (entry) => readTarget(source, await inodeOf(source, entry, 'symlink')),
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

/** The map of blocks of the file asked for last: whoever asks for its ranges reads it next. */
function runsOfLatest(source: Ext4Source): (inode: Inode) => Promise<readonly BlockRun[]> {
  let latest: { readonly number: number; readonly runs: Promise<readonly BlockRun[]> } | undefined;
  return (inode) => {
    if (latest?.number === inode.number) return latest.runs;
    const asked = { number: inode.number, runs: readBlockRuns(source, inode) };
    latest = asked;
    // What failed may be tried again.
    asked.runs.catch(() => {
      if (latest === asked) latest = undefined;
    });
    return asked.runs;
  };
}

function isInline({ flags }: Inode): boolean {
  return (flags & inodeFlags.inlineData) !== 0;
}

function inlineContents(inode: Inode): Uint8Array {
  const start = inode.bytes.subarray(inlineStart, inlineStart + inlineBytes);
  const contents = Buffer.concat([start, inlineDataRest(inode)]);
  if (inode.sizeBytes > contents.length) throw damagedInode(inode.number, 'its contents do not lie in it');
  return contents.subarray(0, inode.sizeBytes);
}

/** Short targets lie in the inode, with or without the feature for small contents. */
async function readTarget(source: Ext4Source, inode: Inode): Promise<Uint8Array> {
  const { sizeBytes, flags } = inode;
  // As for the kernel, a target lies in one block with a zero behind it.
  if (sizeBytes === 0 || sizeBytes >= source.superblock.blockBytes) {
    throw damagedInode(inode.number, `it is a symlink of ${sizeBytes} bytes`);
  }
  const isShort = sizeBytes < inlineBytes && (flags & inodeFlags.extents) === 0;
  let target = new Uint8Array(sizeBytes);
  if (isShort || isInline(inode)) target = new Uint8Array(inlineContents(inode));
  else await runsReader(source, sizeBytes, await readBlockRuns(source, inode)).read(target, 0);
  if (target.includes(0)) throw damagedInode(inode.number, 'its target has a zero in it');
  return target;
}
