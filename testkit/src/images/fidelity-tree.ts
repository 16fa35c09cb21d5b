// A tree with all that copies of file systems tend to lose. It needs root.
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

const mebibyte = 2 ** 20;

export interface FidelityOptions {
  /** Of the file system: targets of symlinks must fit. */
  readonly blockBytes: number;
  /** Largest extended attribute that it takes, in bytes. */
  readonly largestAttribute: number;
}

/** Fills the empty directory `root`. Times that the file system cannot keep are those that the kernel makes of them. */
export async function makeFidelityTree(root: string, options: FidelityOptions): Promise<void> {
  const at = (...names: readonly string[]): string => join(root, ...names);
  await mkdir(at('directory', 'empty'), { recursive: true });
  await writeFile(at('empty'), '');
  await writeFile(at('short'), 'fifty bytes lie in the inode where there is room..');
  await writeFile(at('middle'), 'm'.repeat(120));
  await writeFile(at('large'), randomBytes(5 * mebibyte + 17));
  await makeSpecialFiles(at);
  await makeNames(root, at);
  await makeLinks(at, options);
  await makeOwnersAndTimes(at);
  await makeAttributes(at, options);
  await makeContents(at, options);
  await makeLargeDirectory(at);
}

type At = (...names: readonly string[]) => string;

async function makeSpecialFiles(at: At): Promise<void> {
  await execa('mknod', [at('null'), 'c', '1', '3']);
  await execa('mknod', [at('old-device'), 'c', '5', '255']);
  await execa('mknod', [at('new-device'), 'b', '259', '70000']);
  await execa('mknod', [at('far-device'), 'c', '4095', '1048575']);
  await execa('mkfifo', [at('fifo')]);
  await execa('perl', [
    '-MSocket',
    '-e',
    'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(shift)) or die',
    at('socket'),
  ]);
}

async function makeNames(root: string, at: At): Promise<void> {
  for (const name of ['n'.repeat(255), 'new\nline', 'back\\slash "quoted"', ' ', '-rf', 'überall'])
    await writeFile(at(name), name);
  await writeFile(Buffer.from(`${root}/not UTF-8 \xff\xfe`, 'latin1'), 'bytes');
  const deep = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(240));
  await mkdir(at(...deep), { recursive: true });
  await writeFile(at(...deep, 'file'), 'deep');
}

async function makeLinks(at: At, { blockBytes }: FidelityOptions): Promise<void> {
  for (const length of [1, 59, 60, 61, 200, Math.min(blockBytes, 4096) - 1]) {
    await symlink('t'.repeat(length), at(`link-${length}`));
  }
  for (const index of [1, 2, 3]) await link(at('large'), at('directory', `hard-link-${index}`));
}

async function makeOwnersAndTimes(at: At): Promise<void> {
  for (const mode of ['4755', '2755', '1777', '0000']) {
    await writeFile(at(`mode-${mode}`), mode);
    await execa('chown', ['231072:4000000000', at(`mode-${mode}`)]);
    await execa('chmod', [mode, at(`mode-${mode}`)]);
  }
  await execa('chmod', ['3777', at('directory')]);
  for (const time of [
    '1901-12-13T20:45:53',
    '1965-03-04T05:06:07.123456789',
    '2040-02-03T04:05:06.999999999',
    '2446-05-10T22:38:55',
  ]) {
    await writeFile(at(`time ${time}`), time);
    await symlink(time, at(`link ${time}`));
    await execa('touch', ['-h', '-d', `${time}Z`, at(`time ${time}`), at(`link ${time}`)]);
  }
}

async function makeAttributes(at: At, { largestAttribute }: FidelityOptions): Promise<void> {
  const set = (name: string, value: string, file: string): Promise<unknown> =>
    execa('setfattr', ['-h', '-n', name, '-v', value, at(file)]);
  for (const file of ['attributes', 'large-attribute', 'acl']) await writeFile(at(file), file);
  await set('user.text', 'value', 'attributes');
  await set('user.empty', '', 'attributes');
  await set('user.bytes', '0x00ff00', 'attributes');
  await set('trusted.overlay.opaque', 'y', 'directory');
  await set('trusted.link', 'on a symlink', 'link-60');
  // cap_net_raw, effective and permitted (struct vfs_cap_data, revision 2)
  await set('security.capability', '0x0100000200200000000000000000000000000000', 'attributes');
  await set('user.large', `0x${randomBytes(largestAttribute).toString('hex')}`, 'large-attribute');
  await execa('setfacl', ['-m', 'u:231072:r,g:5:rwx,u:0:-', at('acl')]);
  await execa('setfacl', ['-d', '-m', 'u:231072:rwx', at('directory', 'empty')]);
}

async function makeContents(at: At, { blockBytes }: FidelityOptions): Promise<void> {
  // Many pieces: extents need a tree.
  const pieces = Array.from(
    { length: 500 },
    (_, index) => [index * 3 * blockBytes, Buffer.from(`piece ${index}`)] as const,
  );
  await writePieces(at('scattered'), pieces);
  // With blocks of 1 KiB the block map of ext2 has its third level from 64 MiB on.
  const places = [0, 3, 30, 70, 90].map((mebibytes) => mebibytes * mebibyte + 5);
  await writePieces(
    at('sparse'),
    places.map((place) => [place, randomBytes(100_000)] as const),
  );
  await truncate(at('sparse'), 100 * mebibyte);
  // Where there are extents, also blocks that were never written, within the file and behind its end.
  await writeFile(at('allocated'), 'start');
  for (const mode of [[], ['--keep-size']]) {
    const length = mode.length === 0 ? 300_000 : 900_000;
    await execa('fallocate', [...mode, '--length', `${length}`, at('allocated')], { reject: false });
  }
}

async function writePieces(path: string, pieces: readonly (readonly [number, Uint8Array])[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const [position, bytes] of pieces) await file.write(bytes, 0, bytes.length, position);
  } finally {
    await file.close();
  }
}

/** Large enough for two levels of hashes with blocks of 1 KiB, with gaps where names were removed. */
async function makeLargeDirectory(at: At): Promise<void> {
  await mkdir(at('many'));
  const name = (index: number): string => at('many', `${index}-${'x'.repeat(100 + (index % 100))}`);
  for (let index = 0; index < 1500; index += 1) await writeFile(name(index), index % 50 === 0 ? `${index}` : '');
  for (let index = 0; index < 1500; index += 7) await rm(name(index));
}
