import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeCollector } from './range-collector.ts';

const ranges = fc.array(fc.tuple(fc.nat(200), fc.nat(8)), { maxLength: 60 });

function collect(input: readonly (readonly [number, number])[], limit?: number) {
  const collector = rangeCollector(limit);
  for (const [block, blocks] of input) collector.add(block * 1024, (block + blocks) * 1024);
  return collector.ranges();
}

function blocksOf(found: readonly { startByte: number; endByte: number }[]): ReadonlySet<number> {
  return new Set(
    found.flatMap(({ startByte, endByte }) =>
      Array.from({ length: (endByte - startByte) / 1024 }, (_, index) => startByte / 1024 + index),
    ),
  );
}

describe('rangeCollector', () => {
  it('joins what touches or overlaps, ascending and apart, and nothing else', () => {
    fc.assert(
      fc.property(ranges, (input) => {
        const found = collect(input);
        const wanted = input.flatMap(([block, blocks]) => Array.from({ length: blocks }, (_, index) => block + index));
        expect([...blocksOf(found)].sort((one, other) => one - other)).toEqual(
          [...new Set(wanted)].sort((one, other) => one - other),
        );
        found.slice(1).forEach(({ startByte }, index) => {
          expect(startByte).toBeGreaterThan(found[index]?.endByte ?? Number.POSITIVE_INFINITY);
        });
      }),
    );
  });

  it('fills gaps where it would have to keep too many, and loses nothing', () => {
    fc.assert(
      fc.property(ranges, (input) => {
        const [exact, filled] = [blocksOf(collect(input)), collect(input, 4)];
        expect(filled.length).toBeLessThanOrEqual(4);
        const kept = blocksOf(filled);
        for (const block of exact) expect(kept.has(block)).toBe(true);
      }),
    );
  });
});
