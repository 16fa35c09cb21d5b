// The files of a data root, wherever it lies: a directory of this machine, or a tree inside an image or archive. Paths are relative
// to the root and never lead through symlinks, so that a hostile root cannot lead out of itself.
import type { ByteReader, HostReader, TreeEntry } from '@migrate/core';

export interface RootFiles {
  /** What messages call the root: a path, or the image and partition it lies in. */
  readonly label: string;
  /** Sorted names in a directory; empty where there is none. */
  list(path: string): Promise<readonly string[]>;
  /** Status of the name itself, links not followed; undefined where nothing is there. */
  status(path: string): Promise<RootFileStatus | undefined>;
  /** Target of a symlink as it is written; undefined where there is none. */
  readLink(path: string): Promise<string | undefined>;
  /** Undefined where there is no file; throws `read-failed` beyond `limitBytes`. */
  readFile(path: string, limitBytes: number): Promise<Uint8Array | undefined>;
  /** Contents of a file that is known to be there. */
  open(path: string): Promise<ByteReader>;
}

export interface RootFileStatus {
  readonly kind: TreeEntry['kind'] | 'other';
  readonly sizeBytes: number;
  /** Permission bits only (0o7777). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The device that a device node stands for. */
  readonly represents?: { readonly major: number; readonly minor: number };
}

/** A directory of this machine. */
export function directoryFiles(host: HostReader, directory: string): RootFiles {
  const at = (path: string): string => (path === '' ? directory : `${directory}/${path}`);
  // Layers have many files in few directories: each is looked at once.
  const knownDirectories = new Set<string>();
  /** A symlink in place of a directory would lead elsewhere. */
  const isReachable = async (path: string): Promise<boolean> => {
    const slash = path.lastIndexOf('/');
    const above = path.slice(0, Math.max(slash, 0));
    if (above === '' || knownDirectories.has(above)) return true;
    const isDirectory = (await isReachable(above)) && (await host.linkStatus(at(above)))?.kind === 'directory';
    if (isDirectory) knownDirectories.add(above);
    return isDirectory;
  };
  const status = async (path: string): Promise<RootFileStatus | undefined> =>
    (await isReachable(path)) ? host.linkStatus(at(path)) : undefined;
  return {
    label: directory,
    list: async (path) => {
      const isDirectory = path === '' || (await status(path))?.kind === 'directory';
      return isDirectory ? host.list(at(path)) : [];
    },
    status,
    readLink: async (path) => ((await isReachable(path)) ? host.readLink(at(path)) : undefined),
    readFile: async (path, limitBytes) =>
      (await status(path))?.kind === 'file' ? host.readFile(at(path), { limitBytes }) : undefined,
    open: (path) => host.openRead(at(path)),
  };
}
