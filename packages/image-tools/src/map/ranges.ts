// Arithmetic of byte ranges. "In order" means: ascending, apart from each other, none of them empty.
import type { ByteRange } from '@migrate/core';

/** The union of ranges that may lie anyhow, in order. Gaps of up to `gapBytes` between them are filled. */
export function mergeRanges(ranges: readonly ByteRange[], gapBytes = 0): ByteRange[] {
  const merged: ByteRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.startByte - b.startByte)) {
    if (range.endByte <= range.startByte) continue;
    const last = merged.at(-1);
    if (last === undefined || range.startByte - last.endByte > gapBytes) merged.push(range);
    else if (range.endByte > last.endByte) merged[merged.length - 1] = { ...last, endByte: range.endByte };
  }
  return merged;
}

/** What of `whole` lies in none of the ranges, which must be in order. */
export function rangesBetween(ranges: readonly ByteRange[], whole: ByteRange): ByteRange[] {
  const between: ByteRange[] = [];
  let startByte = whole.startByte;
  for (const range of ranges) {
    if (range.startByte > startByte) between.push({ startByte, endByte: Math.min(range.startByte, whole.endByte) });
    startByte = Math.max(startByte, range.endByte);
    if (startByte >= whole.endByte) break;
  }
  if (startByte < whole.endByte) between.push({ startByte, endByte: whole.endByte });
  return between.filter((range) => range.startByte < range.endByte);
}

/** The first range of `inner` that `outer` does not cover wholly; both must be in order, `outer` also without touching ones. */
export function firstUncovered(outer: readonly ByteRange[], inner: readonly ByteRange[]): ByteRange | undefined {
  let index = 0;
  for (const range of inner) {
    while ((outer[index]?.endByte ?? Number.POSITIVE_INFINITY) <= range.startByte) index += 1;
    const found = outer[index];
    if (found === undefined || found.startByte > range.startByte || found.endByte < range.endByte) return range;
  }
  return undefined;
}

/** Ranges, which must be in order, up to `sizeBytes`. */
export function clipRanges(ranges: readonly ByteRange[], sizeBytes: number): ByteRange[] {
  return ranges
    .filter(({ startByte }) => startByte < sizeBytes)
    .map(({ startByte, endByte }) => ({ startByte, endByte: Math.min(endByte, sizeBytes) }));
}
