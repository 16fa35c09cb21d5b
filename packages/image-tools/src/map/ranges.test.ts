import type { ByteRange } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunksIn } from '../flash/chunks.ts';
import { clipRanges, firstUncovered, mergeRanges, rangesBetween } from './ranges.ts';

const limit = 200;
const anyRanges = fc.array(
  fc.tuple(fc.nat(limit), fc.nat(30)).map(([startByte, length]) => ({ startByte, endByte: startByte + length })),
  { maxLength: 12 },
);

/** The model: which bytes are in the ranges. */
function bytesIn(ranges: Iterable<ByteRange>): Set<number> {
  const bytes = new Set<number>();
  for (const { startByte, endByte } of ranges) for (let byte = startByte; byte < endByte; byte += 1) bytes.add(byte);
  return bytes;
}

function expectOrder(ranges: readonly ByteRange[], gapBytes = 0): void {
  ranges.forEach((range, index) => {
    expect(range.endByte).toBeGreaterThan(range.startByte);
    const before = ranges[index - 1];
    if (before !== undefined) expect(range.startByte - before.endByte).toBeGreaterThan(gapBytes);
  });
}

describe('ranges', () => {
  it('merge to the same bytes, in order', () => {
    fc.assert(
      fc.property(anyRanges, (ranges) => {
        const merged = mergeRanges(ranges);
        expectOrder(merged);
        expect(bytesIn(merged)).toEqual(bytesIn(ranges));
      }),
    );
  });

  it('merge with small gaps filled, and never more than those', () => {
    fc.assert(
      fc.property(anyRanges, fc.nat(20), (ranges, gapBytes) => {
        const merged = mergeRanges(ranges, gapBytes);
        expectOrder(merged, gapBytes);
        const exact = mergeRanges(ranges);
        const gaps = exact.slice(1).map(({ startByte }, index) => ({
          startByte: exact[index]?.endByte ?? 0,
          endByte: startByte,
        }));
        const small = gaps.filter(({ startByte, endByte }) => endByte - startByte <= gapBytes);
        expect(bytesIn(merged)).toEqual(bytesIn([...ranges, ...small]));
      }),
    );
  });

  it('leave between them what is in none of them', () => {
    fc.assert(
      fc.property(anyRanges, fc.nat(50), fc.nat(limit), (ranges, startByte, length) => {
        const whole = { startByte, endByte: startByte + length };
        const between = rangesBetween(mergeRanges(ranges), whole);
        expectOrder(between);
        const inside = bytesIn(ranges);
        expect(bytesIn(between)).toEqual(new Set([...bytesIn([whole])].filter((byte) => !inside.has(byte))));
      }),
    );
  });

  it('tell the first that is not covered', () => {
    fc.assert(
      fc.property(anyRanges, anyRanges, (outer, inner) => {
        const parts = mergeRanges(inner);
        const covered = bytesIn(outer);
        const expected = parts.find((range) => [...bytesIn([range])].some((byte) => !covered.has(byte)));
        expect(firstUncovered(mergeRanges(outer), parts)).toEqual(expected);
      }),
    );
  });

  it('are cut off at a size', () => {
    fc.assert(
      fc.property(anyRanges, fc.nat(limit), (ranges, size) => {
        const clipped = clipRanges(mergeRanges(ranges), size);
        expectOrder(clipped);
        expect(bytesIn(clipped)).toEqual(new Set([...bytesIn(ranges)].filter((byte) => byte < size)));
      }),
    );
  });

  it('are cut into chunks at multiples of their size, the bytes being the same', () => {
    fc.assert(
      fc.property(anyRanges, fc.integer({ min: 1, max: 40 }), (ranges, chunkBytes) => {
        const chunks = [...chunksIn(mergeRanges(ranges), chunkBytes)];
        expect(bytesIn(chunks)).toEqual(bytesIn(ranges));
        for (const { startByte, endByte } of chunks) {
          expect(Math.floor(startByte / chunkBytes)).toBe(Math.floor((endByte - 1) / chunkBytes));
        }
      }),
    );
  });
});
