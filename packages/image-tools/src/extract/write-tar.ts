// A tree of files as a tar archive with pax records, in the order that the tree gives: the same image makes the same bytes.
import { type FileTree, MigrateError, quoted, type TreeEntry } from '@migrate/core';
import { tarBlockBytes } from './tar-header.ts';
import { archiveFile, archiveHeader, type Member } from './tar-member.ts';

export interface TarOptions {
  /**
   * Most bytes of data that all files may have together: the size of the partition. A damaged file system whose files share
   * blocks would else grow without bound.
   */
  readonly maximumDataBytes: number;
  /** Told of what an archive cannot hold, by path. */
  readonly onLeftOut?: (path: string, why: string) => void;
  /** Told how many bytes of files were read since the last time. */
  readonly onData?: (bytes: number) => void;
  /** Told how many bytes of holes of a file were stored as zeros. */
  readonly onHoleFilled?: (bytes: number) => void;
}

const longestShownPath = 200;

interface Level {
  readonly entries: readonly TreeEntry[];
  next: number;
  /** With a slash at its end. */
  readonly path: Buffer;
}

/**
 * The archive of a tree, in chunks that the receiver may keep. Names start with "./", as from "tar -C ROOT -c .". Everything
 * that a tree tells is in it: ids of any size, times to the nanosecond, hard links, device nodes, extended attributes, POSIX
 * ACLs, holes. Sockets are left out, as no tar archive can hold them. Throws `invalid-input` for a tree that is none
 * (directories with two names, names with slashes) or that holds more data than `maximumDataBytes`.
 */
export async function* writeTar(tree: FileTree, options: TarOptions): AsyncGenerator<Uint8Array> {
  const firstPaths = new Map<number, Buffer>();
  const directories = new Set<number>();
  let leftBytes = options.maximumDataBytes;
  const onData = (bytes: number): void => {
    leftBytes -= bytes;
    if (leftBytes < 0) throw damaged('its files hold more data than the partition has room for');
    options.onData?.(bytes);
  };
  const onHoleFilled = options.onHoleFilled ?? (() => {});
  const descend = async (directory: TreeEntry, path: Buffer): Promise<Level> => {
    if (directories.has(directory.inode)) throw damaged(`the directory ${shown(path)} has a second name`);
    directories.add(directory.inode);
    return { entries: await tree.children(directory), next: 0, path };
  };

  const rootPath = Buffer.from('./');
  yield* archiveHeader(tree, { entry: tree.root, path: rootPath });
  const levels = [await descend(tree.root, rootPath)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const entry = level.entries[level.next];
    level.next += 1;
    if (entry === undefined) {
      levels.pop();
      continue;
    }
    checkName(entry, level.path);
    const path = Buffer.concat([level.path, entry.name, Buffer.from(entry.kind === 'directory' ? '/' : '')]);
    const member: Member = { entry, path, ...earlierName(firstPaths, entry, path) };
    if (entry.kind === 'socket') options.onLeftOut?.(shown(path), 'a socket: tar archives cannot hold one');
    else if (entry.kind === 'file' && member.hardLinkTo === undefined)
      yield* archiveFile(tree, member, { onData, onHoleFilled });
    else yield* archiveHeader(tree, member);
    if (entry.kind === 'directory') levels.push(await descend(entry, path));
  }
  yield Buffer.alloc(2 * tarBlockBytes);
}

/** The name under which the archive already holds a file with several, if it does. */
function earlierName(paths: Map<number, Buffer>, entry: TreeEntry, path: Buffer): { readonly hardLinkTo?: Buffer } {
  if (entry.kind === 'directory' || entry.links < 2) return {};
  const first = paths.get(entry.inode);
  if (first === undefined) paths.set(entry.inode, path);
  return first === undefined ? {} : { hardLinkTo: first };
}

/** A name that leads elsewhere would be unpacked elsewhere. */
function checkName({ name }: TreeEntry, directory: Buffer): void {
  const text = Buffer.from(name).toString('latin1');
  if (text === '' || text === '.' || text === '..' || /[/\0]/.test(text))
    throw damaged(`${shown(directory)} has an entry with the impossible name ${quoted(text)}`);
}

function shown(path: Buffer): string {
  return quoted(path.toString('utf8'), longestShownPath);
}

function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', `the file system is damaged: ${why}`);
}
