import { type ByteRange, MigrateError, type Partition, type PartitionTable, readerOf } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstUncovered, mergeRanges, rangesBetween } from './ranges.ts';
import { readPartitionUse, type UseReader, usedBlocksOf } from './used-blocks.ts';

const kibibyte = 1024;

function partition(number: number, startByte: number, sizeBytes: number, type = '83'): Partition {
  return { number, startByte, sizeBytes, type, uuid: `0-${number}`, bootable: false };
}

const never: UseReader = () => Promise.reject(new Error('not asked'));
const reading = (use: UseReader) => ({ ext: use, fat: never });
const signature = { type: 'ext4' };
const source = readerOf(new Uint8Array(4096 * kibibyte));

describe('readPartitionUse', () => {
  const place = partition(3, 1000 * kibibyte, 2000 * kibibyte);
  const whole = [{ startByte: 1000 * kibibyte, endByte: 3000 * kibibyte }];

  it('moves the ranges to the place of the partition, with its ends and what lies behind the file system', async () => {
    const readers = reading(async () => ({
      sizeBytes: 1400 * kibibyte,
      usedRanges: [{ startByte: 700 * kibibyte, endByte: 800 * kibibyte }],
    }));
    const { usedRanges, why } = await readPartitionUse(source, { partition: place, signature, readers });
    expect(why).toBeUndefined();
    expect(mergeRanges(usedRanges)).toEqual([
      { startByte: 1000 * kibibyte, endByte: 1512 * kibibyte },
      { startByte: 1700 * kibibyte, endByte: 1800 * kibibyte },
      { startByte: 2400 * kibibyte, endByte: 3000 * kibibyte },
    ]);
  });

  it('gives the reader the partition alone', async () => {
    let seen: number | undefined;
    const readers = reading(async (reader) => {
      seen = reader.sizeBytes;
      return { sizeBytes: 0, usedRanges: [] };
    });
    const { usedRanges } = await readPartitionUse(source, { partition: place, signature, readers });
    expect(seen).toBe(2000 * kibibyte);
    expect(mergeRanges(usedRanges)).toEqual(whole);
  });

  it.each([
    ['swap', { type: 'swap' }, 'it holds swap'],
    ['an encrypted one', { type: 'crypto_LUKS' }, 'it holds crypto_LUKS'],
    ['an unknown one', undefined, 'what it holds is not known'],
  ])('takes %s for used from end to end', async (_name, found, why) => {
    const readers = { ext: never, fat: never };
    const known = found === undefined ? {} : { signature: found };
    expect(await readPartitionUse(source, { partition: place, readers, ...known })).toEqual({
      number: 3,
      usedRanges: whole,
      why,
    });
  });

  it('does so for a file system that is damaged, dirty, or larger than its partition', async () => {
    const damaged = new MigrateError('invalid-input', 'its journal must be played back first');
    const broken = reading(() => Promise.reject(damaged));
    expect(await readPartitionUse(source, { partition: place, signature, readers: broken })).toEqual({
      number: 3,
      usedRanges: whole,
      why: 'its journal must be played back first',
    });
    const large = reading(async () => ({ sizeBytes: 2000 * kibibyte + 1, usedRanges: [] }));
    expect(await readPartitionUse(source, { partition: place, signature, readers: large })).toMatchObject({
      usedRanges: whole,
      why: 'its file system is larger than the partition',
    });
  });

  it('does not take a disk that cannot be read for a damaged file system', async () => {
    const failed = new MigrateError('read-failed', 'I/O error');
    const readers = reading(() => Promise.reject(failed));
    await expect(readPartitionUse(source, { partition: place, signature, readers })).rejects.toBe(failed);
  });
});

describe('usedBlocksOf', () => {
  it('has all that is outside of partitions, extended boot records and the tail among it', () => {
    const megabyte = 1024 * kibibyte;
    const table: PartitionTable = {
      kind: 'mbr',
      id: '0',
      partitions: [
        partition(1, megabyte, 10 * megabyte),
        partition(2, 20 * megabyte, 40 * megabyte, '05'),
        partition(5, 24 * megabyte, 10 * megabyte),
        partition(6, 40 * megabyte, 20 * megabyte),
      ],
    };
    const { ranges } = usedBlocksOf(table, [], 64 * megabyte);
    expect(ranges).toEqual([
      { startByte: 0, endByte: megabyte },
      { startByte: 11 * megabyte, endByte: 24 * megabyte },
      { startByte: 34 * megabyte, endByte: 40 * megabyte },
      { startByte: 60 * megabyte, endByte: 64 * megabyte },
    ]);
  });

  it('covers whatever is used and leaves out only gaps that are worth it, for any table', () => {
    const unit = 16 * kibibyte;
    const layouts = fc.array(
      fc.record({
        before: fc.nat(20),
        size: fc.integer({ min: 1, max: 60 }),
        used: fc.array(fc.tuple(fc.nat(60), fc.nat(10)), { maxLength: 6 }),
      }),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(layouts, fc.nat(20), (layout, tail) => {
        let next = 0;
        const partitions: Partition[] = [];
        const uses = layout.map(({ before, size, used }, index) => {
          const startByte = (next + before) * unit;
          partitions.push(partition(index + 1, startByte, size * unit));
          next += before + size;
          const usedRanges = used.map(([from, length]) => ({
            startByte: startByte + Math.min(from, size) * unit,
            endByte: startByte + Math.min(from + length, size) * unit,
          }));
          return { number: index + 1, usedRanges };
        });
        const sizeBytes = (next + tail) * unit + 5;
        const table: PartitionTable = { kind: 'gpt', id: '', partitions };
        const { ranges } = usedBlocksOf(table, uses, sizeBytes);
        const mustHave: ByteRange[] = [
          ...rangesBetween(
            partitions.map(({ startByte, sizeBytes: length }) => ({ startByte, endByte: startByte + length })),
            { startByte: 0, endByte: sizeBytes },
          ),
          ...uses.flatMap(({ usedRanges }) => usedRanges),
        ];
        expect(firstUncovered(ranges, mergeRanges(mustHave))).toBeUndefined();
        const head = { startByte: 0, endByte: 34 * 512 };
        for (const [index, range] of ranges.entries()) {
          const before = ranges[index - 1];
          if (before !== undefined) expect(range.startByte - before.endByte).toBeGreaterThan(64 * kibibyte);
          // Each range begins and ends with something that is used.
          const edges = mergeRanges([...mustHave, head]);
          expect(edges.some(({ startByte }) => startByte === range.startByte)).toBe(true);
          expect(edges.some(({ endByte }) => endByte === range.endByte)).toBe(true);
        }
      }),
    );
  });

  it('stays small for a file system in splinters', () => {
    const step = 128 * kibibyte;
    const usedRanges = Array.from({ length: 50_000 }, (_, index) => ({
      startByte: (index + 1) * step,
      endByte: (index + 1) * step + 1024,
    }));
    const place = partition(1, step, 50_000 * step);
    const table: PartitionTable = { kind: 'gpt', id: '', partitions: [place] };
    const { ranges } = usedBlocksOf(table, [{ number: 1, usedRanges }], 50_002 * step);
    expect(ranges.length).toBeLessThanOrEqual(4096);
    expect(firstUncovered(ranges, usedRanges)).toBeUndefined();
  });

  it('names the partitions that are written whole', () => {
    const place = partition(1, 0, 4096);
    const uses = [{ number: 1, usedRanges: [], why: 'it holds swap' }];
    expect(usedBlocksOf({ kind: 'gpt', id: '', partitions: [place] }, uses, 4096).wholePartitions).toEqual([
      { number: 1, why: 'it holds swap' },
    ]);
  });
});
