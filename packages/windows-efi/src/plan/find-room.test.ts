import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WindowsDisk, WindowsVolumePartition } from '../facts/windows-facts.ts';
import { findRoom } from './find-room.ts';

const mebibyte = 1024 * 1024;

function partition(number: number, offsetMib: number, sizeMib: number): WindowsVolumePartition {
  return {
    number,
    offsetBytes: offsetMib * mebibyte,
    sizeBytes: sizeMib * mebibyte,
    guid: `00000000-0000-4000-8000-00000000000${number}`,
    isBoot: number === 2,
    isSystem: number === 1,
    volume: {
      path: '',
      fileSystem: 'NTFS',
      label: '',
      sizeBytes: sizeMib * mebibyte,
      freeBytes: (sizeMib * mebibyte) / 2,
    },
    supportedSize: { minimumBytes: (sizeMib * mebibyte) / 2, maximumBytes: sizeMib * mebibyte },
  };
}

/** Gap, size of Windows, gap, size of recovery, gap: all in MiB. */
function diskOf(sizes: readonly [number, number, number, number, number]): WindowsDisk {
  const [first, windows, second, recovery, last] = sizes;
  const partitions = [
    partition(1, 1, 100),
    partition(2, 101 + first, windows),
    partition(3, 101 + first + windows + second, recovery),
  ];
  const sizeBytes = (102 + sizes.reduce((sum, size) => sum + size, 0)) * mebibyte;
  return {
    number: 0,
    sizeBytes: sizeBytes + last * 0,
    logicalSectorBytes: 512,
    table: 'gpt',
    bus: 'SATA',
    isOffline: false,
    isReadOnly: false,
    partitions,
  };
}

function roomOn(sizes: Parameters<typeof diskOf>[0], neededBytes: number, fromByte = 0) {
  const disk = diskOf(sizes);
  const [, own] = disk.partitions;
  if (own === undefined) throw new Error('there is one');
  return { disk, own, room: findRoom({ disk, partition: own }, neededBytes, fromByte) };
}

describe('findRoom', () => {
  it('takes the last gap that is large enough, at its end', () => {
    const { room } = roomOn([0, 5000, 700, 500, 400], 300 * mebibyte);
    expect(room).toEqual({ offsetBytes: (101 + 5000 + 700 + 500 + 400 - 300) * mebibyte, sizeBytes: 300 * mebibyte });
    expect(roomOn([0, 5000, 700, 500, 0], 300 * mebibyte).room).toEqual({
      offsetBytes: (101 + 5000 + 400) * mebibyte,
      sizeBytes: 300 * mebibyte,
    });
  });

  it("takes the end of Windows' partition where there is no gap", () => {
    expect(roomOn([0, 5000, 0, 500, 0], 300 * mebibyte).room).toMatchObject({
      offsetBytes: (101 + 4700) * mebibyte,
      shrink: { fromBytes: 5000 * mebibyte, toBytes: 4700 * mebibyte, partition: { partition: 2 } },
    });
  });

  it('refuses where Windows would keep too little', () => {
    expect(roomOn([0, 5000, 0, 500, 0], 2400 * mebibyte).room).toMatchObject({ code: 'no-room' });
    expect(roomOn([0, 5000, 0, 500, 0], 2200 * mebibyte).room).not.toHaveProperty('code');
  });

  it('stays behind a byte of the disk: in a later gap, or in Windows’ partition', () => {
    const behind = (fromMib: number) => roomOn([400, 5000, 0, 500, 0], 300 * mebibyte, fromMib * mebibyte).room;
    expect(behind(0)).toMatchObject({ offsetBytes: (101 + 100) * mebibyte });
    const shrunk = { offsetBytes: (501 + 4700) * mebibyte, shrink: { toBytes: 4700 * mebibyte } };
    expect(behind(300)).toMatchObject(shrunk);
    expect(behind(501 + 4700)).toMatchObject(shrunk);
    expect(behind(501 + 4701)).toMatchObject({ code: 'no-room', message: expect.stringContaining('the new system') });
  });

  it('never takes what a partition has, nor the ends of the disk', () => {
    const size = fc.integer({ min: 0, max: 3000 });
    fc.assert(
      fc.property(
        fc.tuple(
          size,
          size.map((mib) => mib + 600),
          size,
          size,
          size,
        ),
        fc.integer({ min: 1, max: 2 ** 31 }),
        fc.integer({ min: 0, max: 2 ** 33 }),
        (sizes, needed, fromByte) => {
          const { disk, own, room } = roomOn(sizes, needed, fromByte);
          if ('code' in room) return;
          expect(room.offsetBytes).toBeGreaterThanOrEqual(fromByte);
          const end = room.offsetBytes + room.sizeBytes;
          expect(room.sizeBytes).toBeGreaterThanOrEqual(needed);
          expect(room.offsetBytes % mebibyte).toBe(0);
          expect(room.offsetBytes).toBeGreaterThanOrEqual(mebibyte);
          expect(end).toBeLessThanOrEqual(disk.sizeBytes - mebibyte);
          if (room.shrink !== undefined) {
            expect(room.shrink.toBytes).toBeGreaterThanOrEqual(own.supportedSize?.minimumBytes ?? 0);
            expect(own.offsetBytes + room.shrink.toBytes).toBe(room.offsetBytes);
          }
          for (const other of disk.partitions) {
            const sizeBytes = other === own ? (room.shrink?.toBytes ?? other.sizeBytes) : other.sizeBytes;
            expect(other.offsetBytes + sizeBytes <= room.offsetBytes || end <= other.offsetBytes).toBe(true);
          }
        },
      ),
    );
  });
});
