// Whether files are as they were, to the byte.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

/** One line for each file, by its path. */
export type FileRecords = ReadonlyMap<string, string>;

/**
 * Returns a function that records all of a tree's files in the given directories: kind, mode, owner, size, time of change, and
 * contents. A directory's time is left out: a file that was made in it and removed shows there. Times are to the millisecond, as
 * Node sets them.
 */
export function fileRecorder(root: string, directories: readonly string[]): () => Promise<FileRecords> {
  // The kernel sets the time of the last change of status (%C@) at every change of a file, and nobody can set it.
  const hashes = new Map<string, string>();
  const hashOf = async (path: string, changed: string): Promise<string> => {
    const key = `${path} ${changed}`;
    const hash =
      hashes.get(key) ??
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex');
    hashes.set(key, hash);
    return hash;
  };
  return async () => {
    const paths = directories.map((directory) => join(root, directory));
    const format = '%p\\0%y %m %U:%G\\0%s %T@\\0%C@\\0%l\\0\\n';
    const { stdout } = await execa('find', [...paths, '-xdev', '-printf', format], { maxBuffer: 256 * 1024 * 1024 });
    const records = new Map<string, string>();
    for (const line of stdout.split('\n').sort()) {
      const [path = '', attributes = '', sizeAndTime = '', changed = '', link = ''] = line.split('\0');
      const kind = attributes[0];
      const more = kind === 'd' ? '' : ` ${sizeAndTime.replace(/(\.\d{3})\d*$/, '$1')} ${link}`;
      const hash = kind === 'f' ? await hashOf(path, changed) : '';
      if (path !== '') records.set(path.slice(root.length), `${attributes}${more} ${hash}`);
    }
    return records;
  };
}

/** What differs, a line for each path. */
export function differences(before: FileRecords, after: FileRecords): readonly string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].flatMap((path) => {
    const [was, is] = [before.get(path) ?? 'nothing', after.get(path) ?? 'nothing'];
    return was === is ? [] : [`${path}: ${was} is now ${is}`];
  });
}
