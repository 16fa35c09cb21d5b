// File systems for tests, made by e2fsprogs, which needs no root for image files.
import { execFileSync, spawnSync } from 'node:child_process';

/** Makes `image` of a size with mke2fs; its tool picks no size, time or UUID of its own. */
export function makeExt4(image: string, sizeKib: number, options: readonly string[]): void {
  const fixed = ['-q', '-F', '-U', '01234567-89ab-4def-8123-456789abcdef', '-L', 'resin-rootA'];
  execFileSync('mke2fs', [...fixed, ...options, image, `${sizeKib}k`], { stdio: 'pipe' });
}

/** Changes an image with debugfs, one command a line; throws where debugfs says anything but an echo. */
export function debugfs(image: string, commands: readonly string[]): void {
  const { stdout, stderr } = spawnSync('debugfs', ['-w', image], {
    input: `${commands.join('\n')}\n`,
    encoding: 'utf8',
  });
  const spoken = `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => !/^(debugfs(:| [0-9]).*|Allocated inode: .*)?$/.test(line));
  if (spoken.length > 0) throw new Error(`debugfs: ${spoken.join('\n')}`);
}

/** What debugfs prints for one command that changes nothing. */
export function lookWithDebugfs(image: string, command: string): string {
  return execFileSync('debugfs', ['-R', command, image], { stdio: 'pipe' }).toString();
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
