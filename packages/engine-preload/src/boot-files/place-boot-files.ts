// Writes files into a mounted boot partition. It is FAT, where a rename is not atomic and modes are those of the mount: files are
// only ever added, and what a cut run left of one is the beginning of it.
import { type Finding, type Host, type HostReader, MigrateError } from '@migrate/core';
import type { FileToPlace } from './connection-files.ts';

const sizeLimitBytes = 1024 * 1024;

/** Files of other contents in the way, which are not replaced. */
export async function checkBootFiles(
  host: HostReader,
  directory: string,
  files: readonly FileToPlace[],
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const file of files) {
    if ((await stateOf(host, directory, file)) !== 'other') continue;
    findings.push({
      severity: 'error',
      code: 'boot-file-exists',
      where: `${directory}${file.path}`,
      message: 'there is such a file already, with other contents',
      hint: 'Remove it, or give yours another name',
    });
  }
  return findings;
}

/**
 * Writes the files that are not there yet, and returns how to take exactly these back. A failure takes them back itself. Throws
 * `write-failed`, `no-space`, and `invalid-input` for a file in the way.
 */
export async function placeBootFiles(
  host: Host,
  directory: string,
  files: readonly FileToPlace[],
): Promise<() => Promise<void>> {
  const undoing: (() => Promise<void>)[] = [];
  const undo = async (): Promise<void> => {
    for (const action of undoing.reverse()) await action();
  };
  try {
    for (const file of files) {
      const path = `${directory}${file.path}`;
      const state = await stateOf(host, directory, file);
      if (state === 'same') continue;
      if (state === 'other') throw new MigrateError('invalid-input', `${path} exists with other contents: remove it`);
      const parent = path.slice(0, path.lastIndexOf('/'));
      if ((await host.status(parent)) === undefined) {
        await host.makeDirectory(parent, 0o755);
        undoing.push(() => host.removeDirectory(parent));
      }
      if (state === 'begun') await host.removeFile(path);
      undoing.push(() => host.removeFile(path));
      await host.createExclusive(path, file.contents, 0o644);
    }
    return undo;
  } catch (thrown) {
    await undo();
    throw thrown;
  }
}

async function stateOf(
  host: HostReader,
  directory: string,
  { path, contents }: FileToPlace,
): Promise<'absent' | 'begun' | 'same' | 'other'> {
  const status = await host.linkStatus(`${directory}${path}`);
  if (status === undefined) return 'absent';
  if (status.kind !== 'file' || status.sizeBytes > contents.length) return 'other';
  const found = await host.readFile(`${directory}${path}`, { limitBytes: sizeLimitBytes });
  if (Buffer.compare(Buffer.from(found), Buffer.from(contents.subarray(0, found.length))) !== 0) return 'other';
  return found.length === contents.length ? 'same' : 'begun';
}
