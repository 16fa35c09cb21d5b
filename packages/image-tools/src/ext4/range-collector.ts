import type { ByteRange } from '@migrate/core';

/** About 32 MiB of memory. */
const maximumRanges = 2 ** 18;

/** Joins ranges of bytes that come in any order, may overlap, and are too many to keep where gaps are short. */
export function rangeCollector(limit = maximumRanges): {
  add(startByte: number, endByte: number): void;
  /** Ascending and apart. */
  ranges(): readonly ByteRange[];
} {
  let kept: ByteRange[] = [];
  let gapBytes = 0;

  const join = (): void => {
    const joined: { startByte: number; endByte: number }[] = [];
    for (const { startByte, endByte } of kept.sort((one, other) => one.startByte - other.startByte)) {
      const last = joined.at(-1);
      if (last !== undefined && startByte <= last.endByte + gapBytes) last.endByte = Math.max(last.endByte, endByte);
      else joined.push({ startByte, endByte });
    }
    kept = joined;
  };

  return {
    add: (startByte, endByte) => {
      if (startByte >= endByte) return;
      if (kept.length === limit) {
        join();
        // Half must become free, or joining would soon be all that is done.
        while (kept.length > limit / 2) {
          gapBytes = gapBytes === 0 ? 1024 : gapBytes * 2;
          join();
        }
      }
      kept.push({ startByte, endByte });
    },
    ranges: () => {
      join();
      return kept;
    },
  };
}
