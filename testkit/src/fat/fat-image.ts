// FAT images made by dosfstools and filled and read by mtools, which the readers and writers of ours are compared with.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { type ByteWriter, type FileTree, MigrateError, readerOf, type TreeEntry } from '@migrate/core';

/** mtools takes FAT's times as local ones, and names in the encoding of the locale. */
const environment = { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8', MTOOLS_SKIP_CHECK: '1' };

/** A file system by mkfs.vfat. */
export interface FatRecipe {
  readonly name: string;
  readonly sizeMib: number;
  readonly options: readonly string[];
}

/** What mkfs.vfat can make and mtools can read. */
export const fatRecipes: readonly FatRecipe[] = [
  { name: 'FAT12', sizeMib: 2, options: ['-F', '12'] },
  {
    name: 'FAT12 with large sectors and clusters',
    sizeMib: 4,
    options: ['-F', '12', '-S', '2048', '-s', '8', '-r', '1024'],
  },
  { name: 'FAT16 without alignment', sizeMib: 10, options: ['-F', '16', '-a', '-s', '1'] },
  { name: 'FAT16 with sectors of 4096 bytes', sizeMib: 18, options: ['-F', '16', '-S', '4096', '-s', '1'] },
  { name: 'FAT16 with one table', sizeMib: 20, options: ['-F', '16', '-f', '1'] },
  { name: 'FAT32 with more reserved sectors', sizeMib: 34, options: ['-F', '32', '-s', '1', '-R', '48', '-b', '8'] },
];

/** Which mtools takes for a FAT16, but Linux and fsck.vfat do not. */
export const smallFat32: FatRecipe = { name: 'small FAT32', sizeMib: 8, options: ['-F', '32'] };

/** Makes the file system in a new sparse file and returns its path. */
export function makeFat(directory: string, { sizeMib, options }: FatRecipe): string {
  const image = join(mkdtempSync(join(directory, 'fat-')), 'fat.img');
  const descriptor = openSync(image, 'w');
  ftruncateSync(descriptor, sizeMib * 1024 * 1024);
  closeSync(descriptor);
  runTool('mkfs.vfat', ['-n', 'resin-boot', ...options, image]);
  return image;
}

/** Runs dosfstools or mtools and returns what they say; throws it where they fail. */
export function runTool(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { env: environment, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** Copies everything in a directory into the root, with the times of the files. */
export function fillFat(image: string, tree: string): void {
  runTool('mcopy', ['-s', '-m', '-i', image, ...readdirSync(tree).map((name) => join(tree, name)), '::']);
}

/** Throws where fsck.vfat finds anything. */
export function checkWithFsck(image: string): void {
  runTool('fsck.vfat', ['-n', image]);
}

/** Contents and time in seconds by path, of files in a directory. */
export type Listing = Readonly<Record<string, { readonly contents: string; readonly modified?: number }>>;

/** What mtools reads from an image. Times of directories it does not restore. */
export function listWithMtools(image: string): Listing {
  const out = mkdtempSync(`${image}-`);
  mkdirSync(join(out, 'tree'));
  runTool('mcopy', ['-s', '-m', '-n', '-i', image, '::*', join(out, 'tree')]);
  const listing: Record<string, { contents: string; modified?: number }> = {};
  const add = (path: string): void => {
    for (const name of readdirSync(join(out, 'tree', path))) {
      const child = `${path}/${name}`;
      const status = statSync(join(out, 'tree', child));
      if (status.isDirectory()) {
        listing[child] = { contents: 'directory' };
        add(child);
      } else {
        listing[child] = {
          contents: readFileSync(join(out, 'tree', child)).toString('base64'),
          modified: status.mtimeMs / 1000,
        };
      }
    }
  };
  add('');
  return listing;
}

/** The same from a tree of ours. */
export async function listTree(tree: FileTree): Promise<Listing> {
  const listing: Record<string, { contents: string; modified?: number }> = {};
  const add = async (path: string, directory: TreeEntry): Promise<void> => {
    for (const entry of await tree.children(directory)) {
      const child = `${path}/${Buffer.from(entry.name).toString()}`;
      if (entry.kind === 'directory') {
        listing[child] = { contents: 'directory' };
        await add(child, entry);
      } else {
        const contents = Buffer.alloc(entry.sizeBytes);
        await tree.open(entry).read(contents, 0);
        listing[child] = { contents: contents.toString('base64'), modified: Number(entry.modifiedNs / 1_000_000_000n) };
      }
    }
  };
  await add('', tree.root);
  return listing;
}

export interface RecordedWrite {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** A file system in memory that keeps each write and flush, so that a cut after any of them can be played. */
export function recordingWriter(bytes: Uint8Array): ByteWriter & { readonly operations: (RecordedWrite | 'flush')[] } {
  const operations: (RecordedWrite | 'flush')[] = [];
  return {
    ...readerOf(bytes),
    operations,
    write: async (source, position) => {
      if (position + source.length > bytes.length) throw new MigrateError('write-failed', 'beyond the end');
      bytes.set(source, position);
      operations.push({ position, bytes: Uint8Array.from(source) });
    },
    flush: async () => {
      operations.push('flush');
    },
  };
}
