// A directory of this machine as a FileTree: stands in for a file system inside an image.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { createNodeHost, type FileTree, type TreeEntry, type TreeEntryKind } from '@migrate/core';

export interface DirectoryTree {
  readonly tree: FileTree;
  /** As image-tools' writer, by GNU tar. */
  writeTar(tree: FileTree): AsyncGenerator<Uint8Array>;
}

export function directoryTree(directory: string): DirectoryTree {
  const paths = new WeakMap<TreeEntry, string>();
  const host = createNodeHost();
  const entryAt = (path: string, name: string): TreeEntry => {
    const status = lstatSync(path);
    const kind = kindOf(status);
    const device = { major: status.rdev >> 8, minor: status.rdev & 0xff };
    const entry: TreeEntry = {
      name: Buffer.from(name),
      kind,
      mode: status.mode & 0o7777,
      uid: status.uid,
      gid: status.gid,
      modifiedNs: BigInt(Math.round(status.mtimeMs)) * 1_000_000n,
      sizeBytes: kind === 'file' || kind === 'symlink' ? status.size : 0,
      inode: status.ino,
      links: status.nlink,
      ...(kind.endsWith('device') ? { represents: device } : {}),
    };
    paths.set(entry, path);
    return entry;
  };
  const pathOf = (entry: TreeEntry): string => {
    const path = paths.get(entry);
    if (path === undefined) throw new Error('an entry of another tree');
    return path;
  };
  return {
    tree: {
      root: entryAt(directory, ''),
      children: async (entry) => readdirSync(pathOf(entry)).map((name) => entryAt(`${pathOf(entry)}/${name}`, name)),
      linkTarget: async (entry) => Buffer.from(readlinkSync(pathOf(entry))),
      extendedAttributes: async () => [],
      dataRanges: async ({ sizeBytes }) => [{ startByte: 0, endByte: sizeBytes }],
      open: (entry) => {
        const opened = host.openRead(pathOf(entry));
        return {
          sizeBytes: entry.sizeBytes,
          read: async (target, position) => (await opened).read(target, position),
          close: async () => (await opened).close(),
        };
      },
    },
    writeTar: async function* ({ root }) {
      const attributes = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--format=posix', '--sparse'];
      const child = spawn('tar', ['-cf', '-', ...attributes, '-C', pathOf(root), '.'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'close');
      yield* child.stdout as AsyncIterable<Uint8Array>;
      const [status] = (await ended) as [number];
      if (status !== 0) throw new Error(`tar ended with ${status}`);
    },
  };
}

function kindOf(status: Stats): TreeEntryKind {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isBlockDevice()) return 'block-device';
  if (status.isCharacterDevice()) return 'character-device';
  return status.isFIFO() ? 'fifo' : 'socket';
}
