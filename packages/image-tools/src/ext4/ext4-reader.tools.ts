import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readerOf } from '@migrate/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordsOf, shown, type TreeRecord } from '../tree-records.ts';
import { debugfs, lookWithDebugfs, makeExt4, usedBlocksByDumpe2fs } from './ext4-fixture.ts';
import { type Ext4Volume, openExt4 } from './ext4-reader.ts';

let work: string;
let tree: string;
let expected: readonly TreeRecord[];
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'ext4-'));
  tree = join(work, 'tree');
  makeTree(tree);
  expected = expectedRecords(tree);
});
afterAll(() => rmSync(work, { recursive: true }));

function makeTree(root: string): void {
  mkdirSync(join(root, 'many'), { recursive: true });
  mkdirSync(join(root, 'deep', 'd'.repeat(200), 'e'.repeat(200)), { recursive: true });
  writeFileSync(join(root, 'empty'), '');
  writeFileSync(join(root, 'short'), 'in an inode', { mode: 0o4755 });
  writeFileSync(join(root, 'middle'), 'm'.repeat(130));
  writeFileSync(join(root, 'large'), Buffer.from(Array.from({ length: 60_000 }, (_, index) => `${index}`).join()));
  writeFileSync(Buffer.from(`${root}/not UTF-8 \xff\n`, 'latin1'), 'odd');
  writeFileSync(join(root, 'n'.repeat(255)), 'long');
  writeFileSync(join(root, 'sparse'), 'start');
  truncateSync(join(root, 'sparse'), 1_000_000);
  writeFileSync(join(root, 'sparse'), 'end', { flag: 'a' });
  for (let index = 0; index < 120; index += 1) {
    writeFileSync(join(root, 'many', `file-number-${index}${index % 2 === 0 ? '' : '-'.repeat(100)}`), '');
  }
  symlinkSync('short', join(root, 'link'));
  symlinkSync('t'.repeat(200), join(root, 'long-link'));
  symlinkSync('t'.repeat(59), join(root, 'link-59'));
  symlinkSync('t'.repeat(60), join(root, 'link-60'));
  linkSync(join(root, 'large'), join(root, 'deep', 'hard link'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  utimesSync(join(root, 'short'), -150_000_000, -150_000_000);
}

/** The tree as its directory has it; mke2fs copies whole seconds only. */
function expectedRecords(root: string): readonly TreeRecord[] {
  const visit = (directory: Buffer, prefix: string): TreeRecord[] =>
    readdirSync(directory, { encoding: 'buffer' }).flatMap((name) => {
      const path = Buffer.concat([directory, Buffer.from('/'), name]);
      const status = lstatSync(path, { bigint: true });
      const mode = Number(status.mode);
      const kind = { 1: 'fifo', 4: 'directory', 8: 'file', 10: 'symlink' }[mode >> 12] ?? 'other';
      const record: TreeRecord = {
        path: `${prefix}/${shown(name)}`,
        kind,
        mode: mode & 0o7777,
        owner: `${status.uid}:${status.gid}`,
        modifiedNs: (BigInt.asIntN(64, status.mtimeNs) / 1_000_000_000n) * 1_000_000_000n,
        sizeBytes: kind === 'file' || kind === 'symlink' ? Number(status.size) : 0,
        attributes: {},
        ...(kind === 'file'
          ? { links: Number(status.nlink), sha256: createHash('sha256').update(readFileSync(path)).digest('hex') }
          : {}),
        ...(kind === 'symlink' ? { target: shown(readlinkSync(path, { encoding: 'buffer' })) } : {}),
      };
      return [record, ...(kind === 'directory' ? visit(path, record.path) : [])];
    });
  return visit(Buffer.from(root), '').sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function open(image: string): Promise<Ext4Volume> {
  return openExt4(readerOf(readFileSync(image)));
}

const kinds: readonly (readonly [string, number, readonly string[]])[] = [
  ['ext2 of 1 KiB blocks', 8192, ['-t', 'ext2', '-b', '1024']],
  ['ext3 of 2 KiB blocks', 16384, ['-t', 'ext3', '-b', '2048']],
  ['ext4 of 4 KiB blocks', 16384, ['-t', 'ext4', '-b', '4096']],
  ['blocks of 64 KiB', 65536, ['-t', 'ext4', '-b', '65536', '-N', '512']],
  ['the first revision', 8192, ['-r', '0', '-b', '1024']],
  ['no features, small inodes', 8192, ['-t', 'ext2', '-O', 'none', '-I', '128', '-b', '1024']],
  ['indirect blocks with checksums', 8192, ['-t', 'ext4', '-O', '^extent,^64bit', '-b', '1024']],
  ['old group checksums', 16384, ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg,^64bit', '-b', '1024', '-g', '1024']],
  ['old group checksums, 64 bits', 16384, ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg', '-b', '1024', '-g', '1024']],
  ['inline data', 8192, ['-t', 'ext4', '-O', 'inline_data', '-b', '1024', '-I', '256']],
  ['inline data in large inodes', 8192, ['-t', 'ext4', '-O', 'inline_data,^metadata_csum', '-b', '1024', '-I', '512']],
  ['meta_bg', 16384, ['-t', 'ext4', '-O', 'meta_bg,^resize_inode', '-b', '1024', '-g', '256', '-N', '1024']],
  [
    'meta_bg without flex_bg',
    16384,
    ['-t', 'ext4', '-O', 'meta_bg,^resize_inode,^flex_bg', '-b', '1024', '-g', '512', '-N', '1024'],
  ],
  ['sparse_super2', 16384, ['-t', 'ext4', '-O', 'sparse_super2,^resize_inode', '-b', '1024', '-g', '1024']],
  ['no sparse_super', 16384, ['-t', 'ext4', '-O', '^sparse_super,^resize_inode', '-b', '1024', '-g', '1024']],
  ['bigalloc', 32768, ['-t', 'ext4', '-O', 'bigalloc', '-C', '16384', '-b', '4096']],
  ['bigalloc of 1 KiB blocks', 16384, ['-t', 'ext4', '-O', 'bigalloc,^resize_inode', '-C', '4096', '-b', '1024']],
  [
    'new features',
    16384,
    ['-t', 'ext4', '-O', 'ea_inode,large_dir,metadata_csum_seed,project,orphan_file,verity', '-b', '4096', '-I', '256'],
  ],
];

describe.each(kinds)('%s', (name, sizeKib, options) => {
  it('gives the tree and the used blocks as e2fsprogs wrote them', async () => {
    const image = join(work, `${name}.img`);
    makeExt4(image, sizeKib, [...options, '-d', tree]);
    const volume = await open(image);
    expect(await recordsOf(volume)).toEqual(expected);
    const used = (await volume.usedRanges()).map(
      ({ startByte, endByte }) => `${startByte / volume.blockBytes}-${endByte / volume.blockBytes}`,
    );
    const clusterBlocks = volume.features.includes('bigalloc') ? 4 : 1;
    expect(used).toEqual(usedBlocksByDumpe2fs(image, volume.blockCount, clusterBlocks));
    const facts = execFileSync('dumpe2fs', ['-h', image], { stdio: 'pipe' }).toString();
    const fact = (key: string): string => new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(facts)?.[1] ?? '';
    expect(volume.features.join(' ')).toBe(fact('Filesystem features').replace('(none)', ''));
    expect(volume).toMatchObject({
      label: 'resin-rootA',
      uuid: fact('Filesystem UUID'),
      blockCount: Number(fact('Block count')),
      freeBlocks: Number(fact('Free blocks')),
      inodeCount: Number(fact('Inode count')),
      blockBytes: Number(fact('Block size')),
      sizeBytes: Number(fact('Block count')) * Number(fact('Block size')),
    });
  });
});

describe('directories with a tree of hashes', () => {
  it.each(kinds.filter(([name]) => ['ext4 of 4 KiB blocks', 'indirect blocks with checksums'].includes(name)))(
    'are read in full: %s',
    async (name, sizeKib, options) => {
      const image = join(work, `${name} hashed.img`);
      makeExt4(image, sizeKib, [...options, '-d', tree]);
      execFileSync('e2fsck', ['-fyD', image], { stdio: 'pipe' });
      expect(lookWithDebugfs(image, 'htree_dump /many')).toContain('Root node dump');
      expect(await recordsOf(await open(image))).toEqual(expected);
    },
  );
});

describe('find', () => {
  it('goes by names only, and follows no links', async () => {
    const image = join(work, 'find.img');
    makeExt4(image, 8192, ['-t', 'ext4', '-b', '1024', '-d', tree]);
    const volume = await open(image);
    expect(await volume.find('/')).toBe(volume.root);
    expect(await volume.find('/many/file-number-8')).toMatchObject({ kind: 'file', sizeBytes: 0 });
    expect(await volume.find('deep//hard link')).toMatchObject({ kind: 'file', links: 2 });
    expect(await volume.find('/link')).toMatchObject({ kind: 'symlink', sizeBytes: 5 });
    for (const path of ['/none', '/link/x', '/short/x', '/deep/../short', '/many/file']) {
      expect(await volume.find(path), path).toBeUndefined();
    }
  });

  it('takes no entry for what it is not', async () => {
    const volume = await open(join(work, 'find.img'));
    const file = await volume.find('/large');
    if (file === undefined) throw new Error('no file');
    await expect(volume.children(file)).rejects.toThrow('is a file and no directory');
    await expect(volume.linkTarget(file)).rejects.toThrow('is a file and no symlink');
    await expect(volume.dataRanges(volume.root)).rejects.toThrow('is a directory and no file');
    await expect(volume.open(volume.root).read(Buffer.alloc(1), 0)).rejects.toThrow('is a directory and no file');
  });
});

describe('what mke2fs does not copy', () => {
  it('is read as debugfs wrote it', async () => {
    const image = join(work, 'details.img');
    makeExt4(image, 8192, ['-t', 'ext4', '-b', '1024', '-I', '256', '-O', 'ea_inode', '-d', tree]);
    const value = (name: string, bytes: Uint8Array): string => {
      writeFileSync(join(work, name), bytes);
      return join(work, name);
    };
    // owner rw, user 231072 r, group r, mask r, others none; as in the kernel's interface to user space
    const acl = Buffer.from(
      '0200000001000600ffffffff02000400a086030004000400ffffffff10000400ffffffff20000000ffffffff',
      'hex',
    );
    const block = Buffer.alloc(700, 'block');
    const outside = Buffer.alloc(1000, 'outside');
    debugfs(image, [
      'sif /short mtime 0x83aa7e80',
      'sif /short mtime_extra 0x000003ea',
      'sif /middle mtime 0x7fffffff',
      'sif /middle mtime_extra 0xee6b27fc',
      'sif /empty uid 231072',
      'sif /empty gid 4000000000',
      `ea_set -f ${value('acl', acl)} /short system.posix_acl_access`,
      'ea_set /short security.capability abc',
      'ea_set /short trusted.overlay.opaque y',
      `ea_set -f ${value('block', block)} /large user.block`,
      `ea_set -f ${value('outside', outside)} /middle user.outside`,
      'ea_set /middle user.empty ""',
      'mknod old-device c 5 255',
      'mknod new-device b 259 7000',
      'sif /sparse mode 0140755',
    ]);
    const records = new Map((await recordsOf(await open(image))).map((record) => [record.path, record]));
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    const seconds = (value: bigint): bigint => value * 1_000_000_000n;
    expect(records.get('/short')).toMatchObject({
      modifiedNs: seconds(BigInt(0x83aa7e80 - 2 ** 32) + 2n * 2n ** 32n) + 250n,
      attributes: {
        'security.capability': hex('abc'),
        'system.posix_acl_access': acl.toString('hex'),
        'trusted.overlay.opaque': hex('y'),
      },
    });
    expect(records.get('/middle')?.modifiedNs).toBe(seconds(0x7fffffffn) + 999_999_999n);
    expect(records.get('/empty')).toMatchObject({ owner: '231072:4000000000' });
    expect(records.get('/large')?.attributes).toEqual({ 'user.block': block.toString('hex') });
    expect(records.get('/deep/hard link')?.attributes).toEqual({ 'user.block': block.toString('hex') });
    expect(records.get('/middle')?.attributes).toEqual({ 'user.empty': '', 'user.outside': outside.toString('hex') });
    expect(records.get('/old-device')).toMatchObject({ kind: 'character-device', device: '5:255', sizeBytes: 0 });
    expect(records.get('/new-device')).toMatchObject({ kind: 'block-device', device: '259:7000' });
    expect(records.get('/sparse')).toMatchObject({ kind: 'socket', mode: 0o755, sizeBytes: 0 });
  });

  it('includes space that was allocated and not written', async () => {
    const image = join(work, 'allocated.img');
    makeExt4(image, 8192, ['-t', 'ext4', '-b', '1024']);
    writeFileSync(join(work, 'pieces'), Buffer.alloc(10_240, 'x'));
    debugfs(image, [`write ${join(work, 'pieces')} pieces`, 'fallocate /pieces 5 300', 'sif /pieces size 200000']);
    const volume = await open(image);
    const file = await volume.find('/pieces');
    if (file === undefined) throw new Error('no file');
    expect(await volume.dataRanges(file)).toEqual([{ startByte: 0, endByte: 10_240 }]);
    const [record] = await recordsOf(volume);
    const expectedBytes = Buffer.concat([Buffer.alloc(10_240, 'x'), Buffer.alloc(200_000 - 10_240)]);
    expect(record?.sha256).toBe(createHash('sha256').update(expectedBytes).digest('hex'));
  });
});
