import type { Mount } from './facts.ts';

/** Parses /proc/self/mountinfo (proc(5), Documentation/filesystems/proc.rst section 3.5). */
export function parseMountInfo(text: string): readonly Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    // The number of optional fields varies; a lone hyphen ends them.
    const [front = '', back = ''] = line.split(' - ', 2);
    const [, , device, root, target, options] = front.split(' ');
    const [fileSystem, source] = back.split(' ');
    if (device === undefined || root === undefined || target === undefined || options === undefined) continue;
    if (fileSystem === undefined || source === undefined) continue;
    mounts.push({
      device,
      source: unescapeOctal(source),
      target: unescapeOctal(target),
      fileSystem,
      root: unescapeOctal(root),
      options: options.split(','),
    });
  }
  return mounts;
}

/** Parses /proc/swaps: the paths in its first column. */
export function parseSwaps(text: string): readonly string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? '')
    .filter((path) => path !== '')
    .map(unescapeOctal);
}

/** The kernel writes blank, tab, newline and backslash in paths as three octal digits (fs/seq_file.c, mangle_path). */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
