// A Host whose paths are those of Windows: what stands before the path says which volume it is on, and each volume is a directory
// of this machine.
import { createNodeHost, type Host, MigrateError } from '@migrate/core';

/** Beginnings of paths, as "C:\\" and "\\\\?\\Volume{…}\\", and the directory that each stands for. */
export type Volumes = ReadonlyMap<string, string>;

/**
 * The directory or file of this machine that a path of Windows stands for; throws `not-found` for a volume that is not there. What
 * migrate was told where it runs, in paths of this machine (`own`), is as it is.
 */
export function placeOf(volumes: Volumes, own: readonly string[], path: string): string {
  if (own.some((directory) => `${path}/`.startsWith(`${directory}/`))) return path;
  const same = path.replaceAll('/', '\\').toLowerCase();
  for (const [volume, directory] of volumes) {
    const wanted = volume.toLowerCase();
    if (`${same}\\` === wanted) return directory;
    if (!same.startsWith(wanted)) continue;
    return `${directory}/${path.slice(volume.length).replaceAll('\\', '/')}`.replace(/\/+$/, '');
  }
  throw new MigrateError('not-found', `${path}: Windows has no such volume`);
}

export interface WindowsHostParts {
  readonly volumes: Volumes;
  /** Directories of this machine that migrate knows by their paths here: of its bundle and its work. */
  readonly own: readonly string[];
  /** Stands for all programs. */
  readonly run: Host['run'];
}

/** This machine's files by paths of Windows; what only Linux can do throws. */
export function hostWithVolumes({ volumes, own, run }: WindowsHostParts): Host {
  const host = createNodeHost();
  const at = (path: string): string => placeOf(volumes, own, path);
  const orMissing = async <T>(path: string, missing: T, read: (place: string) => Promise<T>): Promise<T> => {
    let place: string;
    try {
      place = at(path);
    } catch {
      return missing;
    }
    return read(place);
  };
  const onlyLinux = (what: string) => async (): Promise<never> => {
    throw new MigrateError('unsupported', `${what} is not there on Windows`);
  };
  return {
    ...host,
    system: 'windows',
    userId: -1,
    readFile: (path, options) => host.readFile(at(path), options),
    readText: (path) => orMissing(path, undefined, host.readText),
    list: (path) => orMissing(path, [], host.list),
    status: (path) => orMissing(path, undefined, host.status),
    linkStatus: (path) => orMissing(path, undefined, host.linkStatus),
    readLink: (path) => orMissing(path, undefined, host.readLink),
    realPath: (path) => orMissing(path, undefined, async (place) => ((await host.status(place)) && path) || undefined),
    freeSpace: (path) => host.freeSpace(at(path)),
    openRead: (path) => host.openRead(at(path)),
    openTree: (path) => host.openTree(at(path)),
    makeDirectory: (path, mode) => host.makeDirectory(at(path), mode),
    writeDurable: (path, contents, attributes) => host.writeDurable(at(path), contents, attributes),
    copyDurable: (from, to, attributes) => host.copyDurable(at(from), at(to), attributes),
    overwriteInPlace: (path, contents) => host.overwriteInPlace(at(path), contents),
    setAttributes: (path, attributes) => host.setAttributes(at(path), attributes),
    removeFile: (path) => orMissing(path, undefined, host.removeFile),
    removeDirectory: (path) => orMissing(path, undefined, host.removeDirectory),
    createExclusive: (path, contents, mode) => host.createExclusive(at(path), contents, mode),
    createFile: (path, attributes) => host.createFile(at(path), attributes),
    createScratchFile: (directory) => host.createScratchFile(at(directory)),
    writeNew: (path, contents, attributes) => host.writeNew(at(path), contents, attributes),
    rename: (from, to) => host.rename(at(from), at(to)),
    run,
    openWrite: onlyLinux('writing a device'),
    openDisk: onlyLinux('opening a disk'),
    makeSymlink: onlyLinux('this kind of link'),
    writeVariableFile: onlyLinux('efivarfs'),
    removeVariableFile: onlyLinux('efivarfs'),
    mount: onlyLinux('mount'),
    unmount: onlyLinux('umount'),
    dropCaches: onlyLinux('dropping caches'),
    reboot: onlyLinux('reboot(2)'),
  };
}
