// Sparse files in archives: "GNU.sparse" version 1.0 of GNU tar (its manual, "Sparse Formats"). The data of a file starts with a
// map in decimal lines: the number of regions, then offset and length of each; the map ends with its 512-byte block.
import { type ByteRange, MigrateError } from '@migrate/core';
import { tarBlockBytes, tarPadding } from './tar-header.ts';

/**
 * Regions of a file that an archive stores: the ranges of its data, widened to whole blocks as GNU tar stores them, those that
 * touch made one. Throws `invalid-input` for ranges out of order or beyond the end.
 */
export function sparseRegions(ranges: readonly ByteRange[], sizeBytes: number): readonly ByteRange[] {
  const regions: { startByte: number; endByte: number }[] = [];
  let before = 0;
  for (const { startByte, endByte } of ranges) {
    if (startByte < before || endByte < startByte || endByte > sizeBytes)
      throw new MigrateError('invalid-input', `the data of a file lies at impossible places, at byte ${startByte}`);
    before = endByte;
    if (endByte === startByte) continue;
    const start = startByte - (startByte % tarBlockBytes);
    const end = Math.min(sizeBytes, endByte + tarPadding(endByte));
    const last = regions.at(-1);
    if (last !== undefined && start <= last.endByte) last.endByte = end;
    else regions.push({ startByte: start, endByte: end });
  }
  return regions;
}

/** The map with its padding. A file that ends with a hole has an empty region at its end, which gives it its size. */
export function sparseMap(regions: readonly ByteRange[], sizeBytes: number): Buffer {
  const lines = regions.map(({ startByte, endByte }) => `${startByte}\n${endByte - startByte}\n`);
  if ((regions.at(-1)?.endByte ?? 0) < sizeBytes || regions.length === 0) lines.push(`${sizeBytes}\n0\n`);
  const text = Buffer.from(`${lines.length}\n${lines.join('')}`);
  return Buffer.concat([text, Buffer.alloc(tarPadding(text.length))]);
}

export function totalBytes(ranges: readonly ByteRange[]): number {
  return ranges.reduce((total, { startByte, endByte }) => total + endByte - startByte, 0);
}
