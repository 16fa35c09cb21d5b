// Trees of files as plain data, for tests that compare them.
import { createHash } from 'node:crypto';
import { type FileTree, readExactly, type TreeEntry } from '@migrate/core';

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
