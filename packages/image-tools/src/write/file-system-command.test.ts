import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileSystemSetting, FsImageSetting, PartitionName } from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { extRoom } from './archive-needs.ts';
import { layoutOf } from './disk-layout.ts';
import {
  badBlocksFor,
  extParameters,
  type MakeFileSystem,
  makeFileSystemCommand,
  rehearsalCommand,
} from './file-system-command.ts';
import { summaryNumber } from './restore-ext.ts';
import { percentOf } from './write-file-systems.ts';

// Real tools take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const mib = 2048;
const card = { sizeBytes: 8 * 1024 ** 3, sectorBytes: 512 };

function settingWith(change: Partial<FsImageSetting>, fileSystem?: FileSystemSetting): FsImageSetting {
  const partition = (size: number) => ({
    blocks: size * mib,
    archive: { path: 'x' },
    ...(fileSystem === undefined ? {} : { fileSystem }),
  });
  return {
    kind: 'fs',
    deviceSlug: 'beaglebone-green',
    check: 'none',
    maxData: false,
    mkfsDirect: false,
    partitions: {
      boot: { blocks: 40 * mib, archive: { path: 'x' } },
      rootA: partition(312),
      rootB: partition(312),
      state: partition(20),
      data: partition(1028),
    },
    ...change,
  };
}

function makeOf(name: PartitionName, setting: FsImageSetting): MakeFileSystem {
  const layout = layoutOf(setting, card);
  const partition = layout.partitions.find((candidate) => candidate.name === name);
  if (partition === undefined) throw new Error(name);
  return { partition, layout, setting, device: '/dev/sdx1', badBlocksList: '/run/bad' };
}

function commandOf(name: PartitionName, setting: FsImageSetting): string {
  const { command, args } = makeFileSystemCommand(makeOf(name, setting));
  return [command, ...args].join(' ');
}

const plain =
  'none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,uninit_bg,dir_nlink,extra_isize';

describe('makeFileSystemCommand', () => {
  it('makes what balenaOS is built with where nothing was recorded', () => {
    const setting = settingWith({});
    expect(commandOf('boot', setting)).toBe('mkfs.vfat -F 16 -n resin-boot -S 512 /dev/sdx1');
    expect(commandOf('rootA', setting)).toBe(
      `mkfs.ext4 -F -L resin-rootA -b 1024 -I 256 -N 39936 -O ${plain} -E nodiscard /dev/sdx1`,
    );
    expect(commandOf('state', setting)).toContain('-L resin-state -b 4096 -I 256 -N 2560 ');
    expect(commandOf('data', setting)).toContain('-L resin-data -b 4096 -I 256 -N 131584 ');
  });

  it('makes what was recorded, without what is a state and no feature', () => {
    const setting = settingWith(
      {},
      {
        type: 'ext3',
        uuid: 'd1e3f2a4-0000-4000-8000-0123456789ab',
        blockBytes: 2048,
        inodes: 5000,
        inodeBytes: 128,
        features: ['has_journal', 'needs_recovery', 'filetype'],
      },
    );
    expect(commandOf('rootA', setting)).toBe(
      'mkfs.ext3 -F -L resin-rootA -b 2048 -I 128 -N 5000 -O none,has_journal,filetype -E nodiscard -U d1e3f2a4-0000-4000-8000-0123456789ab /dev/sdx1',
    );
    const { boot } = setting.partitions;
    const fat = { ...boot, fileSystem: { type: 'fat32' as const, uuid: 'ABCD-1234', blockBytes: 2048 } };
    expect(commandOf('boot', { ...setting, partitions: { ...setting.partitions, boot: fat } })).toBe(
      'mkfs.vfat -F 32 -n resin-boot -S 512 -s 4 -i ABCD1234 /dev/sdx1',
    );
    const odd = { ...boot, fileSystem: { type: 'fat32' as const, blockBytes: 1536 } };
    expect(() => commandOf('boot', { ...setting, partitions: { ...setting.partitions, boot: odd } })).toThrow(
      'block_size is 1536',
    );
  });

  it('searches for bad blocks and bypasses the page cache where asked', () => {
    const ro = settingWith({ check: 'ro', mkfsDirect: true });
    expect(commandOf('rootB', ro)).toMatch(/ -c -D \/dev\/sdx1$/);
    expect(commandOf('boot', ro)).toMatch(/ -c \/dev\/sdx1$/);
    const rw = settingWith({ check: 'rw' });
    expect(commandOf('rootB', rw)).toMatch(/ -l \/run\/bad \/dev\/sdx1$/);
    expect(commandOf('boot', rw)).toMatch(/ -l \/run\/bad \/dev\/sdx1$/);
  });

  it('gives a partition that grew inodes in proportion', () => {
    const recorded = settingWith({ maxData: true }, { type: 'ext4', inodes: 1000 });
    const make = makeOf('data', recorded);
    const grown = make.partition.sectors / (1028 * mib);
    expect(grown).toBeGreaterThan(5);
    expect(extParameters(make.partition, recorded, make.layout).inodes).toBe(Math.ceil(1000 * grown));
  });
});

it('bad blocks of a page become the blocks that mkfs counts', () => {
  const setting = settingWith({ check: 'rw' });
  expect(badBlocksFor(makeOf('rootA', setting), '0\n7\n')).toBe('0\n1\n2\n3\n28\n29\n30\n31\n');
  expect(badBlocksFor(makeOf('boot', setting), '1\n')).toBe('4\n5\n6\n7\n');
  expect(badBlocksFor(makeOf('state', setting), '3\n4\n')).toBe('3\n4\n');
  expect(badBlocksFor(makeOf('state', setting), '')).toBe('');
});

it('what badblocks and e2fsck say is understood', () => {
  expect(percentOf('  3.00% done, 0:01 elapsed. (0/0/0 errors)\b\b 12.50% done, 0:02')).toBe(0.125);
  expect(percentOf('Writing inode tables: done')).toBeUndefined();
  const said =
    '           3 regular files\n           1 character device file\n           2 links\n           1 symbolic link (1 fast symbolic link)\n';
  expect(
    ['regular file', 'character device file', 'link', 'symbolic link', 'socket'].map((stem) =>
      summaryNumber(said, stem),
    ),
  ).toEqual([3, 1, 2, 1, undefined]);
});

describe('mke2fs and mkfs.vfat', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'mkfs-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('take the arguments of the rehearsal', () => {
    const disk = join(directory, 'disk');
    writeFileSync(disk, '');
    truncateSync(disk, card.sizeBytes);
    const setting = settingWith({ check: 'rw', mkfsDirect: true });
    for (const { name } of layoutOf(setting, card).partitions) {
      const { command, args } = rehearsalCommand(makeOf(name, setting), { disk, scratch: join(directory, 'scratch') });
      execFileSync(command, args, { stdio: 'ignore' });
    }
  });

  it('leave about as much room as is reckoned with, and never more', () => {
    const path = join(directory, 'room');
    const sizes = fc.integer({ min: 8, max: 3000 });
    const shapes = fc.record({
      blockBytes: fc.constantFrom(1024, 4096),
      bytesPerInode: fc.constantFrom(4096, 8192, 16384),
      withCsum: fc.boolean(),
    });
    fc.assert(
      fc.property(sizes, shapes, (sizeMib, { blockBytes, bytesPerInode, withCsum }) => {
        const inodes = Math.ceil((sizeMib * 1024 ** 2) / bytesPerInode);
        const features = withCsum ? ['has_journal', 'extent', 'sparse_super', 'metadata_csum', '64bit'] : undefined;
        const fileSystem: FileSystemSetting = {
          type: 'ext4',
          blockBytes,
          inodes,
          ...(features === undefined ? {} : { features: [...features, 'resize_inode', 'filetype', 'flex_bg'] }),
        };
        const setting = settingWith({}, fileSystem);
        const make = makeOf('rootA', setting);
        const parameters = extParameters(make.partition, setting, make.layout);
        rmSync(path, { force: true });
        writeFileSync(path, '');
        truncateSync(path, sizeMib * 1024 ** 2);
        const { command, args } = makeFileSystemCommand({ ...make, device: path });
        const numbered = args.with(args.indexOf('-N') + 1, String(inodes));
        execFileSync(command, numbered, { stdio: 'ignore' });
        const said = execFileSync('dumpe2fs', ['-h', path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
        const free = Number(/Free blocks: +(\d+)/.exec(said)?.[1]);
        const freeInodes = Number(/Free inodes: +(\d+)/.exec(said)?.[1]);
        const room = extRoom(sizeMib * 1024 ** 2, { ...parameters, inodes });
        // A refusal must be right; lost+found is counted on both sides.
        expect(room.blocks).toBeGreaterThanOrEqual(free);
        expect(room.blocks - free).toBeLessThan((sizeMib * 1024 ** 2 * 0.04) / blockBytes + 64);
        expect(room.inodes).toBeGreaterThanOrEqual(freeInodes);
        expect(room.inodes - freeInodes).toBeLessThan(8192 * 4);
      }),
      { numRuns: 12 },
    );
  });
});
