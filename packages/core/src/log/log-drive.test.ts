import { describe, expect, it } from 'vitest';
import type { Disk, DiskPartition } from '../machine/facts.ts';
import { logDrive } from './log-drive.ts';

const partition = (path: string, changes: Partial<DiskPartition> = {}): DiskPartition => ({
  name: path.slice(5),
  path,
  device: '8:1',
  number: 1,
  startByte: 1024 * 1024,
  sizeBytes: 1024 * 1024 * 1024,
  holders: [],
  ...changes,
});
const disk = (path: string, partitions: readonly DiskPartition[], changes: Partial<Disk> = {}): Disk => ({
  name: path.slice(5),
  path,
  device: '8:0',
  sizeBytes: 2 ** 31,
  logicalSectorSize: 512,
  isReadOnly: false,
  isRemovable: false,
  holders: [],
  partitions,
  ...changes,
});
const root = partition('/dev/sda1', { fileSystem: { type: 'ext4', uuid: 'root-uuid' } });
const target = disk('/dev/sda', [root]);
const fat = partition('/dev/sdb1', {
  uuid: 'cafe-01',
  label: 'my logs',
  fileSystem: { type: 'vfat', uuid: 'ABCD-1234', label: 'LOGS' },
});
const stick = disk('/dev/sdb', [fat]);
const find = (named: string, ...disks: Disk[]) => logDrive({ disks: [target, ...disks] }, named, target);
const expected = { path: '/dev/sdb1', uuid: 'ABCD-1234', fileSystem: 'vfat' };

describe('the log drive', () => {
  it.each([
    '/dev/sdb1',
    '/dev/sdb',
    '/dev/disk/by-uuid/ABCD-1234',
    '/dev/disk/by-label/LOGS',
    '/dev/disk/by-partuuid/cafe-01',
    '/dev/disk/by-partlabel/my\\x20logs',
  ])('is found as %s', (named) => expect(find(named, stick)).toEqual(expected));

  it('may be a disk without partitions, and ext2', () => {
    const fileSystem = { type: 'ext2', uuid: 'u' };
    expect(find('/dev/sdb', disk('/dev/sdb', [], { fileSystem }))).toEqual({
      path: '/dev/sdb',
      uuid: 'u',
      fileSystem: 'ext4',
    });
  });

  it.each<[string, string, readonly Disk[]]>([
    ['log-drive-is-target', '/dev/sda1', [stick]],
    ['log-drive-is-target', '/dev/sda', [stick]],
    ['log-drive-is-target', '/dev/disk/by-uuid/root-uuid', []],
    ['log-drive-unknown', '/dev/sdc1', [stick]],
    ['log-drive-unknown', '/dev/disk/by-label/OTHER', [stick]],
    [
      'log-drive-file-system',
      '/dev/sdb1',
      [disk('/dev/sdb', [partition('/dev/sdb1', { fileSystem: { type: 'ntfs' } })])],
    ],
    ['log-drive-file-system', '/dev/sdb1', [disk('/dev/sdb', [partition('/dev/sdb1')])]],
    [
      'log-drive-ambiguous',
      '/dev/sdb',
      [disk('/dev/sdb', [fat, partition('/dev/sdb2', { fileSystem: { type: 'ext4', uuid: 'v' } })])],
    ],
    ['log-drive-ambiguous', '/dev/sdb1', [stick, disk('/dev/sdc', [{ ...fat, path: '/dev/sdc1' }])]],
  ])('%s: %s', (code, named, disks) => expect(find(named, ...disks)).toMatchObject({ severity: 'error', code }));
});
