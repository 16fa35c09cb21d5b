// The writer of file systems on loop devices, with real tools: what was in the archives is on the disk afterwards, and nothing
// is on it where something was wrong.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import {
  createNodeHost,
  type Event,
  type FsImageSetting,
  type Host,
  MigrateError,
  type PartitionArchive,
  type PartitionName,
  readFileSystemSignature,
  readPartitionTable,
} from '@migrate/core';
import {
  commitTable,
  type DiskLayout,
  extractPartitions,
  layoutOf,
  prepareFileSystems,
  type WithheldTable,
  withBlockDevice,
  writeFileSystems,
} from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attachLoop, detachLoop, mountLoop } from '../loop-device.ts';
import { describeTree, makePartitionArchives, type PartitionArchives } from './partition-archives.ts';

const host = createNodeHost();
const mebibyte = 1024 * 1024;
const kinds = ['mbr', 'gpt'] as const;
let work: string;
let archives: Record<(typeof kinds)[number], PartitionArchives>;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'fs-write-'));
  const made = await Promise.all(
    kinds.map(async (table) => {
      const directory = join(work, table);
      await mkdir(directory);
      return [table, await makePartitionArchives(directory, table)] as const;
    }),
  );
  archives = Object.fromEntries(made) as typeof archives;
});

afterAll(() => rm(work, { recursive: true, force: true }));

/** A disk on which something lay before. */
async function dirtyDisk(name: string, sizeMib: number): Promise<string> {
  const path = join(work, name);
  await execa('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', `count=${sizeMib}`]);
  return path;
}

interface Written {
  readonly layout: DiskLayout;
  readonly withheld: WithheldTable;
  /** Of resin-data, as the archives were proven. */
  readonly freeBytes?: number | undefined;
  readonly events: readonly Event[];
}

async function writeDisk(disk: string, setting: FsImageSetting, on: Host = host): Promise<Written> {
  const events: Event[] = [];
  const emit = (event: Event): void => void events.push(event);
  const request = { host: on, emit, disk, setting, workDirectory: work };
  const prepared = await prepareFileSystems(request);
  const withheld = await writeFileSystems(request, prepared);
  return { layout: prepared.layout, withheld, freeBytes: prepared.archives.data.freeBytes, events };
}

async function commit(disk: string, { layout, withheld }: Written): Promise<void> {
  const target = await host.openWrite(disk);
  try {
    await commitTable(host, { target, layout, withheld });
  } finally {
    await target.close();
  }
}

async function tableOf(path: string, sectorBytes = 512) {
  const reader = await host.openRead(path);
  try {
    const table = await readPartitionTable(reader, sectorBytes);
    const labels = [];
    for (const { startByte, sizeBytes } of table?.partitions ?? [])
      labels.push((await readFileSystemSignature(reader, startByte, sizeBytes))?.label);
    return { table, labels: labels.filter((label) => label !== undefined) };
  } finally {
    await reader.close();
  }
}

/** Compares every tree on the disk with what was archived; the boot partition by its files. */
async function expectTrees(
  path: string,
  { layout, freeBytes }: Pick<Written, 'layout' | 'freeBytes'>,
  { trees }: PartitionArchives,
): Promise<void> {
  const mountPoint = await mkdtemp(join(work, 'mount-'));
  for (const { name, startSector, sectors } of layout.partitions) {
    const offset = startSector * layout.sectorBytes;
    if (name === 'boot') {
      await execa('mcopy', ['-s', '-i', `${path}@@${offset}`, '::/*', mountPoint]);
      expect(await describeTree(mountPoint, 'contents')).toBe(trees.boot);
      await execa('rm', ['-r', mountPoint]);
      await mkdir(mountPoint);
      continue;
    }
    const size = sectors * layout.sectorBytes;
    const device = await attachLoop(path, '--read-only', `--offset=${offset}`, `--sizelimit=${size}`);
    try {
      await execa('e2fsck', ['-fn', device]);
      await mountLoop(device, mountPoint, '-o', 'ro');
      expect(await describeTree(mountPoint), name).toBe(trees[name]);
      if (name === 'data' && freeBytes !== undefined) {
        // A backup relies on it.
        const { bfree, bsize } = await statfs(mountPoint);
        expect(freeBytes).toBeLessThanOrEqual(bfree * bsize);
        expect(freeBytes).toBeGreaterThan(bfree * bsize * 0.8);
      }
      if (trees[name].includes('sparse|size'))
        expect((await stat(join(mountPoint, 'sparse'))).blocks).toBeLessThan(100);
    } finally {
      await execa('umount', [mountPoint], { reject: false });
      await detachLoop(device);
    }
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes as Uint8Array);
  return hash.digest('hex');
}

const resinLabels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];

describe.each(kinds)('a dirty disk with a %s', (kind) => {
  test('has the trees of the archives, and no table before the commit', async () => {
    const path = await dirtyDisk(`dirty-${kind}`, 200);
    await withBlockDevice(host, path, async (disk) => {
      const shown = new Set<string>();
      const watching: Host = {
        ...host,
        run: async (command, args, options) => {
          const result = await host.run(command, args, options);
          if ((await tableOf(disk)).table !== undefined) shown.add(command);
          return result;
        },
      };
      const written = await writeDisk(disk, archives[kind].setting, watching);
      // sfdisk shows it, over wiped partitions; whatever runs after that does not.
      expect([...shown]).toEqual(['sfdisk']);
      // Neither what tools call a table, nor nodes of partitions, are left.
      expect((await execa('blkid', ['-p', disk], { reject: false })).exitCode).toBe(2);
      expect(await host.status(`${disk}p1`)).toBeUndefined();
      await commit(disk, written);
      await expectTrees(path, written, archives[kind]);
    });
    const { table, labels } = await tableOf(path);
    expect(labels).toEqual(resinLabels);
    expect(table?.kind).toBe(kind);
    if (kind === 'gpt') {
      expect(table?.partitions.map(({ name }) => name)).toEqual(resinLabels);
      await execa('sgdisk', ['--verify', path]);
    }
    await execa('sfdisk', ['--verify', path]);
  });
});

describe('a disk', () => {
  test('is filled by resin-data where max_data says so', async () => {
    const path = join(work, 'large');
    await execa('truncate', ['-s', '6G', path]);
    await withBlockDevice(host, path, async (disk) => {
      const setting = { ...archives.mbr.setting, maxData: true };
      const written = await writeDisk(disk, setting);
      await commit(disk, written);
      const { table } = await tableOf(disk);
      const data = table?.partitions.find(({ number }) => number === 6);
      expect((data?.startByte ?? 0) + (data?.sizeBytes ?? 0)).toBe(6 * 1024 * mebibyte);
      await expectTrees(path, written, archives.mbr);
    });
  });

  test('with sectors of 4096 bytes is written too', async () => {
    const path = await dirtyDisk('large-sectors', 200);
    const disk = await attachLoop(path, '--sector-size=4096');
    try {
      const written = await writeDisk(disk, archives.gpt.setting);
      await commit(disk, written);
      expect((await tableOf(disk, 4096)).labels).toEqual(resinLabels);
      await expectTrees(path, written, archives.gpt);
    } finally {
      await detachLoop(disk);
    }
  });
});

/**
 * A disk with sectors that cannot be read or written, by way of QEMU's fault injection and FUSE. The loop device must not use
 * direct I/O: QEMU 7.2's export loses such writes without any fault. Writes pass through at once, first reads too.
 */
async function withBadSectors<T>(
  path: string,
  faults: readonly { readonly iotype: 'read' | 'write'; readonly sector: number }[],
  action: (disk: string) => Promise<T>,
): Promise<T> {
  const mountPoint = `${path}.fuse`;
  await writeFile(mountPoint, '');
  const inject = faults.map((fault) => ({ ...fault, event: 'none', errno: 5, once: false }));
  const daemon = execa('qemu-storage-daemon', [
    ...['--blockdev', `driver=file,node-name=file,filename=${path}`],
    ...[
      '--blockdev',
      JSON.stringify({ driver: 'blkdebug', 'node-name': 'bad', image: 'file', 'inject-error': inject }),
    ],
    ...['--export', `type=fuse,id=export,node-name=bad,mountpoint=${mountPoint},writable=on`],
  ]);
  daemon.catch(() => {});
  try {
    for (let turn = 0; (await stat(mountPoint)).size === 0; turn += 1) {
      if (turn === 100) throw new Error('the disk with bad sectors did not appear');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // Reading ahead would make whole neighbourhoods unreadable.
    const { stdout: device } = await execa('stat', ['-c', '%Hd:%Ld', mountPoint]);
    await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, '0');
    const disk = await attachLoop(mountPoint);
    await execa('blockdev', ['--setra', '0', disk]);
    try {
      return await action(disk);
    } finally {
      await detachLoop(disk);
    }
  } finally {
    daemon.kill();
    await daemon.catch(() => {});
  }
}

test.each(kinds)('what is extracted from an image is written again, the same (%s)', async (kind) => {
  const image = join(work, `image-${kind}`);
  await execa('truncate', ['-s', '200M', image]);
  await withBlockDevice(host, image, async (disk) => commit(disk, await writeDisk(disk, archives[kind].setting)));
  const directory = await mkdtemp(join(work, 'extracted-'));
  const reader = await host.openRead(image);
  const setting = await extractPartitions(reader, {
    host,
    emit: () => {},
    deviceType: archives[kind].setting.deviceSlug,
    directory,
    hash: 'sha256',
  });
  await reader.close();
  const path = await dirtyDisk(`again-${kind}`, 200);
  await withBlockDevice(host, path, async (disk) => {
    const partitions = Object.fromEntries(
      Object.entries(setting.partitions).map(([name, partition]) => [
        name,
        { ...partition, archive: { ...partition.archive, path: join(directory, basename(partition.archive.path)) } },
      ]),
    ) as FsImageSetting['partitions'];
    const extracted = { ...setting, maxData: false, partitions };
    const request = { host, emit: () => {}, disk, setting: extracted, workDirectory: work };
    const prepared = await prepareFileSystems(request);
    const written = { layout: prepared.layout, withheld: await writeFileSystems(request, prepared), events: [] };
    await commit(disk, written);
    await expectTrees(path, written, archives[kind]);
  });
  const [before, after] = [await tableOf(image), await tableOf(path)];
  const places = ({ table }: typeof before) =>
    table?.partitions.map(({ startByte, sizeBytes, type, uuid }) => ({ startByte, sizeBytes, type, uuid }));
  expect(places(after)).toEqual(places(before));
  expect(after.table?.id).toBe(before.table?.id);
});

describe('a write that fails on the way', () => {
  test.each([
    ['sfdisk', 1],
    ['mkfs.ext4', 2],
    ['tar', 5],
    ['e2fsck', 2],
    ['env', 2],
    ['fsck.vfat', 1],
  ] as const)('in %s leaves neither a table nor mounts, and is done again from its start', async (program, turn) => {
    const path = join(work, 'again');
    await execa('truncate', ['-s', '200M', path]);
    await withBlockDevice(host, path, async (disk) => {
      const { setting } = archives.gpt;
      const request = { host, emit: () => {}, disk, setting, workDirectory: work };
      const prepared = await prepareFileSystems(request);
      let calls = 0;
      const count = (command: string): void => {
        if (command === program) calls += 1;
        if (command === program && calls === turn) throw new MigrateError('command-failed', 'it failed');
      };
      const failing: Host = {
        ...host,
        run: async (command, args, options) => {
          count(command);
          return host.run(command, args, options);
        },
        runStream: async function* (command, args, options) {
          count(command);
          yield* host.runStream(command, args, options);
        },
      };
      await expect(writeFileSystems({ ...request, host: failing }, prepared)).rejects.toThrow('it failed');
      expect((await tableOf(disk)).table).toBeUndefined();
      expect(await host.status(`${disk}p1`)).toBeUndefined();
      if (program !== 'tar') return;
      const withheld = await writeFileSystems(request, prepared);
      const written = { layout: prepared.layout, withheld, events: [] };
      await commit(disk, written);
      await expectTrees(path, written, archives.gpt);
    });
  });

  test('notices an archive that changed since it was inspected', async () => {
    const path = join(work, 'again');
    await execa('truncate', ['-s', '200M', path]);
    const changing = join(work, 'changing.tgz');
    const { setting } = archives.mbr;
    const { data, state } = setting.partitions;
    await execa('cp', [data.archive.path, changing]);
    await withBlockDevice(host, path, async (disk) => {
      const partitions = { ...setting.partitions, data: { ...data, archive: { path: changing } } };
      const request = { host, emit: () => {}, disk, setting: { ...setting, partitions }, workDirectory: work };
      const prepared = await prepareFileSystems(request);
      await execa('cp', [state.archive.path, changing]);
      await expect(writeFileSystems(request, prepared)).rejects.toMatchObject({ code: 'verify-mismatch' });
      expect((await tableOf(disk)).table).toBeUndefined();
    });
  });
});

describe('a disk with bad blocks', () => {
  /** Small partitions, since a write test goes over each eight times. */
  const small = (check: FsImageSetting['check']): FsImageSetting => {
    const { partitions, ...setting } = archives.mbr.setting;
    const of = (name: PartitionName): PartitionArchive => ({ ...partitions[name], blocks: 8 * 2048 });
    const boot = { ...partitions.boot, blocks: 12 * 2048 };
    const all = { boot, rootA: of('data'), rootB: of('rootB'), state: of('state'), data: of('data') };
    return { ...setting, check, partitions: all };
  };
  const inBoot = (4 + 1) * 2048;
  const inRootA = (16 + 5) * 2048;
  const sectorsOf = (iotype: 'read' | 'write') => [inBoot, inRootA].map((sector) => ({ iotype, sector }));
  const trees = (): PartitionArchives => {
    const { data, ...others } = archives.mbr.trees;
    return { setting: small('none'), trees: { ...others, rootA: data, data } };
  };

  test.each([
    ['ro', [...sectorsOf('read'), ...sectorsOf('write')]],
    ['rw', sectorsOf('write')],
  ] as const)('is written round them with check %s', async (check, faults) => {
    const path = await dirtyDisk(`bad-${check}`, 72);
    await withBadSectors(path, faults, async (disk) => {
      const written = await writeDisk(disk, small(check));
      await commit(disk, written);
      const notes = written.events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
      expect(notes).toEqual([expect.stringMatching(/^resin-rootA: \d+ bad blocks are set aside$/)]);
      const tested = written.events.filter((event) => event.kind === 'progress' && event.text.startsWith('testing'));
      expect(tested.length).toBeGreaterThanOrEqual(10);
    });
    const { stdout } = await execa('dumpe2fs', ['-b', `${path}?offset=${16 * mebibyte}`]);
    expect(stdout.split('\n').map(Number)).toContain((5 * mebibyte) / 1024);
    await expectTrees(
      path,
      { layout: layoutOf(small(check), { sizeBytes: 72 * mebibyte, sectorBytes: 512 }) },
      trees(),
    );
  });

  test('is refused without a check, and has no table then', async () => {
    const path = await dirtyDisk('bad-none', 72);
    const everywhere = Array.from({ length: 200 }, (_, index) => ({
      iotype: 'write' as const,
      sector: inRootA + index,
    }));
    await withBadSectors(path, everywhere, async (disk) => {
      await expect(writeDisk(disk, small('none'))).rejects.toMatchObject({ name: 'MigrateError' });
      expect((await tableOf(disk)).table).toBeUndefined();
    });
  });
});

describe('nothing is written', () => {
  let path: string;
  beforeAll(async () => {
    path = await dirtyDisk('untouched', 64);
    const outside = join(work, 'outside');
    await writeFile(outside, 'x');
    await execa('tar', ['--absolute-names', '-czf', join(work, 'hostile.tgz'), outside]);
  });
  const changed = (name: PartitionName, change: Partial<PartitionArchive>): FsImageSetting => {
    const { setting } = archives.mbr;
    return { ...setting, partitions: { ...setting.partitions, [name]: { ...setting.partitions[name], ...change } } };
  };
  const wrongHash = (): FsImageSetting => {
    const { path } = archives.mbr.setting.partitions.data.archive;
    return changed('data', { archive: { path, hash: { algorithm: 'md5', digest: '0'.repeat(32) } } });
  };
  const hostile = (): FsImageSetting => changed('rootB', { archive: { path: join(work, 'hostile.tgz') } });
  const unknownFeature = (): FsImageSetting =>
    changed('state', { fileSystem: { type: 'ext4', features: ['has_journal', 'no_such_feature'] } });

  test.each([
    ['where an archive has a wrong hash', 200, wrongHash, 'verify-mismatch'],
    ['where the disk is too small', 100, () => archives.mbr.setting, 'no-space'],
    ['where an archive does not fit', 200, () => changed('data', { blocks: 8192 }), 'no-space'],
    ['where mke2fs does not know a feature', 200, unknownFeature, 'command-failed'],
    ['where an archive would write elsewhere', 200, hostile, 'invalid-input'],
    ['where FAT has no room for its clusters', 200, () => changed('boot', { blocks: 4 * 2048 }), 'command-failed'],
    ['where an archive is missing', 200, () => changed('boot', { archive: { path: '/no/such.tgz' } }), 'read-failed'],
  ] as const)('%s', async (_, sizeMib, setting, code) => {
    await execa('truncate', ['-s', `${sizeMib}M`, path]);
    const before = await hashOf(path);
    await withBlockDevice(host, path, async (disk) => {
      await expect(writeDisk(disk, setting())).rejects.toMatchObject({ code });
    });
    expect(await hashOf(path)).toBe(before);
  });

  test('where tar is busybox', async () => {
    const before = await hashOf(path);
    const bin = await mkdtemp(join(work, 'bin-'));
    await symlink((await execa('which', ['busybox'])).stdout, join(bin, 'tar'));
    const searched = process.env.PATH;
    process.env.PATH = `${bin}:${searched}`;
    try {
      await withBlockDevice(host, path, async (disk) => {
        await expect(writeDisk(disk, archives.mbr.setting)).rejects.toMatchObject({ code: 'unsupported' });
      });
    } finally {
      process.env.PATH = searched;
    }
    expect(await hashOf(path)).toBe(before);
  });
});
