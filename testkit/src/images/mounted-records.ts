// What the kernel shows of a mounted tree, in the form in which the readers of file systems are compared.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { shown, type TreeRecord } from '@migrate/image-tools/tree-records';
import { execa } from 'execa';

const kinds: Readonly<Record<number, string>> = {
  1: 'fifo',
  2: 'character-device',
  4: 'directory',
  6: 'block-device',
  8: 'file',
  10: 'symlink',
  12: 'socket',
};

/** Everything below the directory `root`, as recordsOf gives it for a tree in an image. */
export async function mountedRecords(root: string): Promise<readonly TreeRecord[]> {
  const attributes = await attributesBelow(root);
  const records: TreeRecord[] = [];
  const visit = async (directory: Buffer, prefix: string): Promise<void> => {
    for (const name of await readdir(directory, { encoding: 'buffer' })) {
      const path = `${prefix}/${shown(name)}`;
      if (path === '/lost+found') continue;
      const place = Buffer.concat([directory, Buffer.from('/'), name]);
      const record = await recordOf(place, path, attributes.get(shown(place)) ?? {});
      records.push(record);
      if (record.kind === 'directory') await visit(place, path);
    }
  };
  await visit(Buffer.from(root), '');
  return records.sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function recordOf(place: Buffer, path: string, attributes: Record<string, string>): Promise<TreeRecord> {
  const status = await lstat(place, { bigint: true });
  const kind = kinds[Number(status.mode) >> 12] ?? 'unknown';
  return {
    path,
    kind,
    mode: Number(status.mode) & 0o7777,
    owner: `${status.uid}:${status.gid}`,
    modifiedNs: status.mtimeNs,
    sizeBytes: kind === 'file' || kind === 'symlink' ? Number(status.size) : 0,
    attributes,
    ...(kind === 'file' ? { links: Number(status.nlink), sha256: await sha256Of(place) } : {}),
    ...(kind.endsWith('-device') ? { device: deviceOf(status.rdev) } : {}),
    ...(kind === 'symlink' ? { target: shown(await readlink(place, { encoding: 'buffer' })) } : {}),
  };
}

async function sha256Of(place: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(place, { highWaterMark: 2 ** 20 })) hash.update(bytes as Buffer);
  return hash.digest('hex');
}

/** glibc's dev_t: gnu_dev_major and gnu_dev_minor. */
function deviceOf(value: bigint): string {
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n);
  return `${major}:${(value & 0xffn) | ((value >> 12n) & 0xffffff00n)}`;
}

/** All extended attributes by path, values in hexadecimal, as getfattr(1) prints them for root. */
async function attributesBelow(root: string): Promise<Map<string, Record<string, string>>> {
  const { stdout } = await execa('getfattr', [
    '-R',
    '-P',
    '-h',
    '-d',
    '-m',
    '-',
    '-e',
    'hex',
    '--absolute-names',
    root,
  ]);
  const found = new Map<string, Record<string, string>>();
  for (const block of stdout.split('\n\n')) {
    const [head = '', ...lines] = block.split('\n').filter((line) => line !== '');
    const path = head
      .replace('# file: ', '')
      .replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)));
    const pairs = lines.map((line) => /^([^=]+)(?:=(?:0x)?(.*))?$/.exec(line)?.slice(1) ?? []);
    found.set(path, Object.fromEntries(pairs.map(([name = '', value = '']) => [name, value])));
  }
  return found;
}
