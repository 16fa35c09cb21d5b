// A disk full of noise is flashed with the used blocks of an image only; then the kernel and the checkers of the file systems
// must find on it what they find in the image. Needs root and loop devices.
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { createNodeHost, type ImageFacts, type UsedBlocks, writtenBytes } from '@migrate/core';
import {
  differingChunks,
  flashImage,
  proveImage,
  readCommitBytes,
  serializeUsedMap,
  usedMapPath,
  verifyAndRepair,
  wipeOldTables,
  writeCommitSectors,
} from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachLoop, detachLoop } from '../loop-device.ts';

const mebibyte = 1024 * 1024;
const sectors = (mib: number): number => mib * 2048;
const host = createNodeHost();
const emit = (): void => {};
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flash-map-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Part {
  readonly startMib: number;
  readonly sizeMib: number;
}

async function withLoop<T>(path: string, part: Part, action: (device: string) => Promise<T>): Promise<T> {
  const place = ['-o', String(part.startMib * mebibyte), '--sizelimit', String(part.sizeMib * mebibyte)];
  const device = await attachLoop(path, ...place);
  try {
    return await action(device);
  } finally {
    await detachLoop(device);
  }
}

async function withMount<T>(device: string, options: string, action: (mount: string) => Promise<T>): Promise<T> {
  const mount = await mkdtemp(join(directory, 'mount-'));
  await execa('mount', ['-o', options, device, mount]);
  try {
    return await action(mount);
  } finally {
    await execa('umount', [mount]);
  }
}

/** Files that come and go, so that freed blocks hold rubbish and files lie in pieces, with holes and blocks of zeros inside. */
const populate = `
set -e
mkdir many deep zeros
for i in $(seq 1 300); do head -c $((i * 37 % 9000 + 1)) /dev/urandom > many/$i; done
for i in $(seq 1 2 300); do rm many/$i; done
for i in $(seq 1 6); do head -c 700000 /dev/urandom > many/large-$i; done
rm many/large-2 many/large-5
dd if=/dev/zero of=zeros/written bs=64k count=20 status=none
truncate -s 5M zeros/hole; printf end >> zeros/hole
head -c 300000 /dev/zero > zeros/mixed; head -c 300000 /dev/urandom >> zeros/mixed; head -c 300000 /dev/zero >> zeros/mixed
mkdir -p deep/a/b/c; printf x > "deep/a/b/c/a name with blanks"; ln -s ../../many/2 deep/a/link; ln many/4 deep/hard
setfattr -n user.long -v "$(head -c 500 /dev/zero | tr '\\0' v)" many/6 2>/dev/null || true
sync
`;

async function makeExt(image: string, part: Part, options: readonly string[]): Promise<void> {
  await withLoop(image, part, async (device) => {
    await execa('mkfs.ext4', ['-q', '-F', ...options, device]);
    await withMount(device, 'rw', (cwd) => execa('bash', ['-c', populate], { cwd }));
  });
}

async function noiseDisk(sizeMib: number): Promise<string> {
  const disk = join(await mkdtemp(join(directory, 'disk-')), 'disk');
  await execa('dd', ['if=/dev/urandom', `of=${disk}`, 'bs=1M', `count=${sizeMib}`, 'status=none']);
  return disk;
}

async function pack(image: string): Promise<string> {
  await pipeline(createReadStream(image), createGzip({ level: 1 }), createWriteStream(`${image}.gz`));
  return `${image}.gz`;
}

async function flash(path: string, image: ImageFacts, disk: string): Promise<void> {
  const [source, target] = [await host.openRead(path), await host.openDisk(disk)];
  const commitBytes = await readCommitBytes(source, image);
  await wipeOldTables(target, image);
  await flashImage({ source, image, target, emit });
  await verifyAndRepair({ source, target, image, commitBytes, emit, dropCaches: () => host.dropCaches() });
  await writeCommitSectors(target, commitBytes);
  expect(await differingChunks({ target, image, commitBytes, emit })).toEqual([]);
  await source.close();
  await target.close();
}

/** Names, kinds, modes, owners, times, links, attributes and contents of a tree, as tar sees them. */
async function treeHash(path: string, part: Part): Promise<string> {
  return withLoop(path, part, (device) =>
    withMount(device, 'ro', async (cwd) => {
      const pack = 'tar --xattrs --acls --sort=name --format=pax --pax-option=delete=atime,delete=ctime -cf - .';
      const { stdout } = await execa('bash', ['-c', `set -o pipefail; ${pack} | sha256sum`], { cwd });
      return stdout;
    }),
  );
}

async function expectSameExt(image: string, disk: string, part: Part): Promise<void> {
  const check = await withLoop(disk, part, (device) => execa('e2fsck', ['-f', '-n', device], { reject: false }));
  expect(check.exitCode, check.stdout).toBe(0);
  expect(await treeHash(disk, part)).toBe(await treeHash(image, part));
}

describe('a disk full of noise, flashed with used blocks only', () => {
  const parts = {
    boot: { startMib: 4, sizeMib: 40 },
    rootA: { startMib: 44, sizeMib: 64 },
    swap: { startMib: 108, sizeMib: 8 },
    state: { startMib: 120, sizeMib: 24 },
    data: { startMib: 148, sizeMib: 200 },
  } as const;
  let image: string;
  let packed: string;
  let facts: ImageFacts;

  beforeAll(async () => {
    image = join(directory, 'whole.img');
    await truncate(await touched(image), 352 * mebibyte);
    const line = ({ startMib, sizeMib }: Part, type: string): string =>
      `start=${sectors(startMib)},size=${sectors(sizeMib)},type=${type}`;
    const extended = { startMib: 116, sizeMib: 236 };
    const table = [
      'label: dos',
      line(parts.boot, 'e'),
      line(parts.rootA, '83'),
      line(parts.swap, '82'),
      line(extended, '5'),
      line(parts.state, '83'),
      line(parts.data, '83'),
    ];
    await execa('sfdisk', ['-q', image], { input: `${table.join('\n')}\n` });
    await makeExt(image, parts.rootA, ['-b', '1024', '-i', '8192', '-L', 'resin-rootA']);
    await makeExt(image, parts.state, ['-b', '4096', '-L', 'resin-state']);
    await makeExt(image, parts.data, ['-L', 'resin-data']);
    await withLoop(image, parts.swap, (device) => execa('mkswap', [device]));
    const tree = join(directory, 'boot');
    await mkdir(join(tree, 'overlays'), { recursive: true });
    for (let number = 0; number < 200; number += 1) {
      await writeFile(join(tree, 'overlays', `a rather long name ${number}.dtbo`), Buffer.alloc(number * 331, number));
    }
    await writeFile(join(tree, 'device-type.json'), '{"slug":"beaglebone-green"}');
    await withLoop(image, parts.boot, async (device) => {
      await execa('mkfs.vfat', ['-F', '16', '-n', 'resin-boot', device]);
      await execa('sh', [
        '-c',
        'mcopy -s -i "$1" "$2"/* :: && mdel -i "$1" "::/overlays/a rather long name 1?.dtbo"',
        '-',
        device,
        tree,
      ]);
    });
    packed = await pack(image);
    facts = await proveImage({ host, path: packed, emit, usedBlocks: 'find' });
  });

  it('has the same trees, and sound file systems', async () => {
    expect(facts.usedBlocks?.wholePartitions).toEqual([{ number: 3, why: 'it holds swap' }]);
    expect(writtenBytes(facts)).toBeLessThan(facts.sizeBytes / 2);
    const disk = await noiseDisk(360);
    await flash(packed, facts, disk);
    for (const part of [parts.rootA, parts.state, parts.data]) await expectSameExt(image, disk, part);
    await withLoop(disk, parts.boot, (device) => execa('fsck.fat', ['-n', device]));
    const listing = async (path: string): Promise<string> =>
      withLoop(path, parts.boot, async (device) => {
        const tree = await mkdtemp(join(directory, 'fat-'));
        await execa('mcopy', ['-s', '-m', '-n', '-i', device, '::', tree]);
        return (await execa('bash', ['-c', 'find . -type f -print0 | sort -z | xargs -0 sha256sum'], { cwd: tree }))
          .stdout;
      });
    expect((await listing(disk)).split('\n')).toHaveLength(191);
    expect(await listing(disk)).toBe(await listing(image));
    const table = async (path: string): Promise<string> => (await execa('sfdisk', ['--json', path])).stdout;
    expect((await table(disk)).replaceAll(disk, '')).toBe((await table(image)).replaceAll(image, ''));
    expect(
      await execa('cmp', [
        '-n',
        String(parts.swap.sizeMib * mebibyte),
        '-i',
        String(parts.swap.startMib * mebibyte),
        image,
        disk,
      ]),
    ).toMatchObject({ exitCode: 0 });
  });

  it('is the same by a map beside the image, read once, and without packing', async () => {
    const once = join(await mkdtemp(join(directory, 'beside-')), 'image.img.gz');
    await copyFile(packed, once);
    await writeFile(usedMapPath(once), serializeUsedMap(facts));
    const texts = new Set<string>();
    const found = await proveImage({
      host,
      path: once,
      usedBlocks: 'find',
      emit: (event) => texts.add('text' in event ? event.text : ''),
    });
    expect([...texts]).toEqual(['proving the image']);
    expect(found).toEqual({ ...facts, path: once });
    const raw = await proveImage({ host, path: image, usedBlocks: 'find', emit });
    expect([raw.usedBlocks, raw.chunkSha256]).toEqual([facts.usedBlocks, facts.chunkSha256]);
  });

  it('is refused where a map leaves out what is used, or belongs to another image', async () => {
    const ranges = facts.usedBlocks?.ranges ?? [];
    const [first, second, ...rest] = ranges;
    if (first === undefined || second === undefined) throw new Error('too few ranges');
    const shorter = { startByte: second.startByte, endByte: second.endByte - 4096 };
    for (const wrong of [
      [first, ...rest],
      [first, shorter, ...rest],
    ]) {
      const usedBlocks: UsedBlocks = { ranges: wrong, wholePartitions: [] };
      await expect(proveImage({ host, path: packed, emit, usedBlocks })).rejects.toMatchObject({
        code: 'wrong-image',
        message: expect.stringMatching(/are used, but the used-block map leaves out some of them/),
      });
    }
    const other = join(await mkdtemp(join(directory, 'other-')), 'image.img');
    await copyFile(image, other);
    await writeFile(usedMapPath(other), serializeUsedMap(facts));
    await expect(proveImage({ host, path: other, emit, usedBlocks: 'find' })).rejects.toThrow(
      /belongs to another image/,
    );
  });
});

describe('a partition', () => {
  const part = { startMib: 4, sizeMib: 96 };

  async function makeImage(options: readonly string[]): Promise<string> {
    const image = join(await mkdtemp(join(directory, 'one-')), 'one.img');
    await truncate(await touched(image), 104 * mebibyte);
    await execa('sfdisk', ['-q', image], { input: `label: gpt\nstart=${sectors(4)},size=${sectors(96)}\n` });
    await makeExt(image, part, options);
    return image;
  }

  it.each([
    ['ext2', ['-t', 'ext2']],
    ['ext3', ['-t', 'ext3']],
    ['ext4 with blocks of 1 KiB', ['-b', '1024']],
    ['ext4 without groups of groups', ['-O', '^flex_bg']],
    ['ext4 without a journal', ['-O', '^has_journal']],
    ['ext4 without checksums', ['-O', '^metadata_csum,uninit_bg']],
    ['ext4 with meta groups', ['-b', '1024', '-O', 'meta_bg,^resize_inode']],
    ['ext4 with few superblocks', ['-b', '1024', '-O', 'sparse_super2']],
    ['ext4 with inline data', ['-O', 'inline_data', '-I', '512']],
    ['ext4 as of 2012', ['-O', '^64bit,^metadata_csum,^dir_index', '-I', '128']],
    ['ext4 smaller than the partition', ['-b', '1024', '-E', 'lazy_itable_init=0']],
  ] as const)('with %s is the same on a dirty disk', async (name, options) => {
    const image = await makeImage(options);
    if (name.includes('smaller')) {
      await withLoop(image, part, async (device) => {
        await execa('e2fsck', ['-f', '-p', device]);
        await execa('resize2fs', [device, '60M']);
      });
    }
    const facts = await proveImage({ host, path: image, emit, usedBlocks: 'find' });
    expect(facts.usedBlocks?.wholePartitions).toEqual([]);
    expect(writtenBytes(facts)).toBeLessThan(70 * mebibyte);
    const disk = await noiseDisk(110);
    await flash(image, facts, disk);
    await expectSameExt(image, disk, part);
  });

  it('whose journal was not played back is written from end to end', async () => {
    const image = await makeImage([]);
    const copy = `${image}.dirty`;
    await withLoop(image, part, (device) =>
      withMount(device, 'rw', async (mount) => {
        await writeFile(join(mount, 'late'), 'late');
        await execa('sync');
        await copyFile(image, copy);
      }),
    );
    const facts = await proveImage({ host, path: copy, emit, usedBlocks: 'find' });
    expect(facts.usedBlocks).toEqual({
      ranges: [{ startByte: 0, endByte: 104 * mebibyte }],
      wholePartitions: [{ number: 1, why: expect.stringMatching(/journal/) }],
    });
    const disk = await noiseDisk(104);
    await flash(copy, facts, disk);
    await execa('cmp', [copy, disk]);
  });
});

async function touched(path: string): Promise<string> {
  await writeFile(path, '');
  return path;
}
