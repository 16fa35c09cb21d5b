// File systems for tests, made by e2fsprogs, which needs no root for image files.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Makes `image` of a size with mke2fs; its tool picks no size, time or UUID of its own. */
export function makeExt4(image: string, sizeKib: number, options: readonly string[]): void {
  const fixed = ['-q', '-F', '-U', '01234567-89ab-4def-8123-456789abcdef', '-L', 'resin-rootA'];
  execFileSync('mke2fs', [...fixed, ...options, image, `${sizeKib}k`], { stdio: 'pipe' });
}

/** Changes an image with debugfs, one command a line; throws where debugfs says anything but an echo. */
export function debugfs(image: string, commands: readonly string[]): void {
  // Not on its standard input: long lines are echoed there with marks for a terminal.
  const file = `${image}.commands`;
  writeFileSync(file, `${commands.join('\n')}\n`);
  const { stdout, stderr } = spawnSync('debugfs', ['-w', '-f', file, image], { encoding: 'utf8' });
  const spoken = `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => !/^(debugfs(:| [0-9]).*|Allocated inode: .*)?$/.test(line));
  if (spoken.length > 0) throw new Error(`debugfs: ${spoken.join('\n')}`);
}

/** What debugfs prints for one command that changes nothing. */
export function lookWithDebugfs(image: string, command: string): string {
  return execFileSync('debugfs', ['-R', command, image], { stdio: 'pipe' }).toString();
}

/** Options of small file systems with checksums of metadata, and of such without, in which damage goes further. */
export const smallExt4Options = {
  checked: ['-t', 'ext4', '-O', 'metadata_csum', '-b', '1024', '-N', '80'],
  unchecked: ['-t', 'ext4', '-O', '^metadata_csum,^64bit', '-b', '1024', '-N', '80'],
} as const;

/**
 * A file system of 1 MiB with a directory of several blocks, a file in pieces, attributes in an inode and in a block, a long
 * symlink and a device; `commands` are for debugfs. Returns its path.
 */
export function makeSmallExt4(image: string, options: readonly string[], commands: readonly string[] = []): string {
  const tree = `${image}.tree`;
  mkdirSync(join(tree, 'directory', 'inner'), { recursive: true });
  for (let index = 0; index < 15; index += 1) writeFileSync(join(tree, 'directory', `${index}`.padStart(90, 'x')), '');
  writeFileSync(join(tree, 'file'), 'contents');
  symlinkSync('t'.repeat(100), join(tree, 'link'));
  // Eight pieces: more than the four extents that an inode holds, and beyond the direct blocks of ext2.
  const pieces = openSync(join(tree, 'pieces'), 'w');
  for (let index = 0; index < 8; index += 1) writeSync(pieces, 'x', index * 40_000);
  ftruncateSync(pieces, 300_000);
  closeSync(pieces);
  makeExt4(image, 1024, [...options, '-d', tree]);
  const value = `${image}.value`;
  writeFileSync(value, Buffer.alloc(300, 'v'));
  const attributes = [`ea_set -f ${JSON.stringify(value)} /file user.block`, 'ea_set /file user.short s'];
  debugfs(image, [...attributes, 'mknod device c 1 3', ...commands]);
  return image;
}

/** Blocks in use as dumpe2fs finds them: all but those that it lists as free. Of the last cluster it names the first block. */
export function usedBlocksByDumpe2fs(image: string, blockCount: number, clusterBlocks = 1): readonly string[] {
  const text = execFileSync('dumpe2fs', [image], { stdio: 'pipe', maxBuffer: 2 ** 28 }).toString();
  const free = [...text.matchAll(/^ {2}Free blocks: (.*)$/gm)]
    .flatMap(([, list = '']) => list.split(', ').filter((part) => part !== ''))
    .map((part) => part.split('-').map(Number))
    .map(([first = 0, last = first]) => ({
      first,
      last: Math.min(last - (last % clusterBlocks) + clusterBlocks - 1, blockCount - 1),
    }));
  const used: string[] = [];
  let next = 0;
  for (const { first, last } of [...free, { first: blockCount, last: blockCount }]) {
    if (first > next) used.push(`${next}-${first}`);
    next = last + 1;
  }
  return used;
}
