import { readerOf, readPartitionTable } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { layOutLifeboat } from './lifeboat-contents.ts';

const mebibyte = 1024 * 1024;

describe('a lifeboat for firmware that reads FAT itself', () => {
  const contents = layOutLifeboat({
    files: [{ path: 'overlays/vc4-kms-v3d-pi4.dtbo', sizeBytes: 1000 }],
    way: { kind: 'partition' },
    serial: 'BA1E-0A05',
    time: new Date(0),
    disk: { sizeBytes: 512 * mebibyte, tableId: '6c586e13' },
  });
  const startByte = 100 * mebibyte;

  it('is the first and only partition once it is switched to', async () => {
    const { switch: sector, backup, partition } = contents.wayRecord(startByte);
    expect([sector.startByte, backup, partition]).toEqual([0, undefined, { number: 1, uuid: '6c586e13-01' }]);
    const disk = Buffer.alloc(startByte + contents.sizeBytes);
    Buffer.from(sector.bytes, 'base64').copy(disk);
    expect(await readPartitionTable(readerOf(disk), 512)).toMatchObject({
      kind: 'mbr',
      id: '6c586e13',
      partitions: [{ number: 1, type: '0c', startByte, sizeBytes: contents.sizeBytes }],
    });
  });

  it('has no boot code', () => {
    const bytes = Buffer.from(contents.wayRecord(startByte).switch.bytes, 'base64');
    expect(bytes.subarray(0, 440).every((byte) => byte === 0)).toBe(true);
  });
});
