import { type ByteReader, readerOf } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import type { FatGeometry } from './fat-geometry.ts';
import { readFatUsage } from './fat-table.ts';

/** A FAT32 that has nothing but its table. */
function tableOf(entries: readonly number[]): { reader: ByteReader; geometry: FatGeometry } {
  const table = Buffer.alloc((entries.length + 2) * 4);
  entries.forEach((entry, index) => {
    table.writeUInt32LE(entry, (index + 2) * 4);
  });
  const geometry: FatGeometry = {
    type: 'FAT32',
    sizeBytes: 0,
    sectorBytes: 512,
    clusterBytes: 512,
    clusterCount: entries.length,
    tableCount: 1,
    tableStartByte: 0,
    tableBytes: table.length,
    dataStartByte: 10_240,
    root: { firstCluster: 2 },
  };
  return { reader: readerOf(table), geometry };
}

describe('readFatUsage', () => {
  it('joins neighbours, and leaves out what is free or bad', async () => {
    const { reader, geometry } = tableOf([0x0fffffff, 4, 0, 0x0ffffff7, 0xf0000000, 0xf0000001, 0x0fffffff]);
    expect(await readFatUsage(reader, geometry)).toEqual({
      freeClusters: 2,
      badClusters: 1,
      usedRanges: [
        { startByte: 0, endByte: 10_240 + 1024 },
        { startByte: 10_240 + 5 * 512, endByte: 10_240 + 7 * 512 },
      ],
    });
  });

  it('keeps the list short for a file system in splinters, and loses nothing', async () => {
    const { reader, geometry } = tableOf(
      Array.from({ length: 700_000 }, (_, index) => (index % 2 === 0 ? 0 : 0x0fffffff)),
    );
    const { usedRanges, freeClusters } = await readFatUsage(reader, geometry);
    expect(freeClusters).toBe(350_000);
    expect(usedRanges.length).toBeLessThan(300_000);
    const ordered = usedRanges.every(({ startByte }, index) => startByte > (usedRanges[index - 1]?.endByte ?? -1));
    expect(ordered).toBe(true);
    let range = 0;
    for (let cluster = 1; cluster < 700_000; cluster += 2) {
      const startByte = 10_240 + cluster * 512;
      while ((usedRanges[range]?.endByte ?? Number.POSITIVE_INFINITY) <= startByte) range += 1;
      if (!((usedRanges[range]?.startByte ?? Number.POSITIVE_INFINITY) <= startByte))
        throw new Error(`cluster ${cluster} is lost`);
    }
  });
});
