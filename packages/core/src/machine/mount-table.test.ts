import { describe, expect, it } from 'vitest';
import { mountOf } from './facts.ts';
import { parseMountInfo, parseSwaps } from './mount-table.ts';

const mountinfo = `22 27 0:20 / /sys rw,nosuid - sysfs sysfs rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
40 27 254:15 / /boot/efi rw,relatime shared:20 master:3 - vfat /dev/vda15 rw,fmask=0077
41 27 8:1 /sub /mnt/a\\040b ro - ext4 /dev/sda1 ro
`;

describe('parseMountInfo', () => {
  it('reads device, root, target, options, file system and source, with any number of optional fields', () => {
    expect(parseMountInfo(mountinfo).slice(1, 3)).toEqual([
      { device: '254:1', root: '/', target: '/', options: ['rw', 'relatime'], fileSystem: 'ext4', source: '/dev/vda1' },
      {
        device: '254:15',
        root: '/',
        target: '/boot/efi',
        options: ['rw', 'relatime'],
        fileSystem: 'vfat',
        source: '/dev/vda15',
      },
    ]);
  });

  it('decodes octal escapes in paths', () => {
    expect(parseMountInfo(mountinfo)[3]).toMatchObject({ target: '/mnt/a b', root: '/sub' });
  });

  it('passes over lines that are cut', () => {
    expect(parseMountInfo('22 27 0:20 /\n\nrubbish')).toEqual([]);
  });
});

describe('mountOf', () => {
  const mounts = parseMountInfo(mountinfo);
  it('takes the longest target', () => {
    expect(mountOf(mounts, '/boot/efi/EFI')?.source).toBe('/dev/vda15');
    expect(mountOf(mounts, '/boot/efivars')?.source).toBe('/dev/vda1');
    expect(mountOf(mounts, '/')?.source).toBe('/dev/vda1');
  });
});

describe('parseSwaps', () => {
  it('takes the first column below the heading', () => {
    expect(parseSwaps('Filename\t\tType\n/dev/sda2   partition 1 0 -2\n/swap\\040file file 1 0 -3\n')).toEqual([
      '/dev/sda2',
      '/swap file',
    ]);
  });
});
