// File systems for tests, made by e2fsprogs, which needs no root for image files; and trees as plain data to compare.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type FileTree, readExactly, type TreeEntry } from '@migrate/core';

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

/** All that a tree tells of a name. */
export interface TreeRecord {
  readonly path: string;
  readonly kind: string;
  readonly mode: number;
  readonly owner: string;
  readonly modifiedNs: bigint;
  readonly sizeBytes: number;
  /** Of files: names of the inode. */
  readonly links?: number;
  readonly device?: string;
  readonly target?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly sha256?: string;
}

/** Bytes as text that shows each. */
export function shown(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

/** Everything below the root, sorted by path; and each file read through to its end. */
export async function recordsOf(tree: FileTree): Promise<readonly TreeRecord[]> {
  const records: TreeRecord[] = [];
  const visit = async (directory: TreeEntry, prefix: string): Promise<void> => {
    for (const entry of await tree.children(directory)) {
      const path = `${prefix}/${shown(entry.name)}`;
      if (path === '/lost+found') continue;
      records.push(await recordOf(tree, entry, path));
      if (entry.kind === 'directory') await visit(entry, path);
    }
  };
  await visit(tree.root, '');
  return records.sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function recordOf(tree: FileTree, entry: TreeEntry, path: string): Promise<TreeRecord> {
  const { kind, mode, uid, gid, modifiedNs, sizeBytes, links, represents } = entry;
  const attributes = (await tree.extendedAttributes(entry)).map(({ name, value }) => [
    name,
    Buffer.from(value).toString('hex'),
  ]);
  return {
    path,
    kind,
    mode,
    owner: `${uid}:${gid}`,
    modifiedNs,
    sizeBytes,
    attributes: Object.fromEntries(attributes),
    ...(kind === 'file' ? { links, sha256: await sha256Of(tree, entry) } : {}),
    ...(represents === undefined ? {} : { device: `${represents.major}:${represents.minor}` }),
    ...(kind === 'symlink' ? { target: shown(await tree.linkTarget(entry)) } : {}),
  };
}

/** Reads by ranges, zeros between them, and compares with plain reading in pieces of odd sizes. */
async function sha256Of(tree: FileTree, file: TreeEntry): Promise<string> {
  const reader = tree.open(file);
  const byRanges = createHash('sha256');
  let position = 0;
  for (const { startByte, endByte } of await tree.dataRanges(file)) {
    hashZeros(byRanges, startByte - position);
    for (position = startByte; position < endByte; ) {
      const bytes = await readExactly(reader, position, Math.min(2 ** 20, endByte - position));
      if (bytes === undefined) throw new Error('a file ends within its ranges');
      byRanges.update(bytes);
      position += bytes.length;
    }
  }
  hashZeros(byRanges, file.sizeBytes - position);
  const plain = createHash('sha256');
  const piece = Buffer.alloc(300_007);
  for (let offset = 0; ; ) {
    const count = await reader.read(piece, offset);
    if (count === 0) break;
    plain.update(piece.subarray(0, count));
    offset += count;
  }
  const [one, other] = [byRanges.digest('hex'), plain.digest('hex')];
  if (one !== other) throw new Error('ranges and contents differ');
  return one;
}

function hashZeros(hash: ReturnType<typeof createHash>, count: number): void {
  for (let left = count; left > 0; left -= 2 ** 20) hash.update(Buffer.alloc(Math.min(left, 2 ** 20)));
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
