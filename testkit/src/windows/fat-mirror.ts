// A FAT on a disk image as a directory of this machine, whose kernel need not know FAT: copied out when it is mounted, and when it
// is unmounted what was changed is copied back by mtools. Nothing else on the file system is touched.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

export interface FatMirror {
  readonly directory: string;
  /** Writes back what is changed; the directory is of no use afterwards. */
  unmount(): Promise<void>;
}

/** Kind, size, time and hash of every name, by its path. */
type Contents = ReadonlyMap<string, string>;

/** `startByte`: where the file system begins on the disk. `directory` must not exist. */
export async function mountFat(disk: string, startByte: number, directory: string): Promise<FatMirror> {
  const image = `${disk}@@${startByte}`;
  await mkdir(directory);
  await execa('mcopy', ['-s', '-m', '-i', image, '::', directory]);
  const before = await contentsOf(directory);
  return {
    directory,
    unmount: async () => writeBack(image, directory, before, await contentsOf(directory)),
  };
}

/** Every name and what is below it, as text that can be compared; times are FAT's. */
export async function contentsOf(directory: string): Promise<Contents> {
  const found = new Map<string, string>();
  const names = (await readdir(directory, { recursive: true })).sort();
  for (const name of names) {
    const path = join(directory, name);
    const status = await stat(path);
    if (status.isDirectory()) found.set(name, 'directory');
    else {
      const hash = createHash('sha256').update(await readFile(path));
      found.set(name, `${status.size} ${Math.floor(status.mtimeMs / 2000)} ${hash.digest('hex')}`);
    }
  }
  return found;
}

async function writeBack(image: string, directory: string, before: Contents, after: Contents): Promise<void> {
  const isDirectory = (contents: Contents, name: string): boolean => contents.get(name) === 'directory';
  const gone = [...before.keys()].filter(
    (name) => !after.has(name) || isDirectory(before, name) !== isDirectory(after, name),
  );
  // The deepest first.
  for (const name of gone.reverse())
    await execa(isDirectory(before, name) ? 'mrd' : 'mdel', ['-i', image, `::/${name}`]);
  const isNew = (name: string): boolean => !before.has(name) || gone.includes(name);
  for (const [name, now] of after) {
    const parent = name.slice(0, Math.max(0, name.lastIndexOf('/')));
    // A new directory is copied with all that is in it.
    if (parent !== '' && isNew(parent)) continue;
    const copied = (args: readonly string[]) =>
      execa('mcopy', [...args, '-m', '-i', image, join(directory, name), `::/${parent}`]);
    if (now === 'directory' && isNew(name)) await copied(['-s', '-Q']);
    if (now !== 'directory' && now !== before.get(name)) await copied(['-o']);
  }
}
