import { describe, expect, it } from 'vitest';
import { readerOf } from '../disk/byte-reader.ts';
import {
  type LifeboatRecord,
  lifeboatRecordBytes,
  lifeboatRecordStart,
  piecesOfFile,
  readLifeboatRecord,
  serializeLifeboatRecord,
} from './lifeboat-record.ts';

const startByte = 4096;
const record: LifeboatRecord = {
  planId: 'plan-1',
  startByte,
  sizeBytes: 1024 * 1024,
  switch: { startByte: 0, bytes: Buffer.alloc(512, 1).toString('base64') },
  partition: { number: 4, uuid: 'b0b0b0b0-04' },
  pieces: [
    { startByte: 5000, sizeBytes: 10, sha256: 'a'.repeat(64) },
    { path: 'image', startByte: 6000, sizeBytes: 20, sha256: 'b'.repeat(64) },
    { path: 'backup', startByte: 6100, sizeBytes: 5, sha256: 'c'.repeat(64) },
    { path: 'image', startByte: 7000, sizeBytes: 30, sha256: 'd'.repeat(64) },
  ],
};

function disk(change: (bytes: Buffer) => void = () => {}) {
  const bytes = Buffer.alloc(startByte + lifeboatRecordStart + lifeboatRecordBytes);
  Buffer.from(serializeLifeboatRecord(record)).copy(bytes, startByte + lifeboatRecordStart);
  change(bytes);
  return readerOf(bytes);
}

describe('the record of a lifeboat', () => {
  it('is read as it was written', async () => {
    expect(await readLifeboatRecord(disk(), { startByte, planId: 'plan-1' })).toEqual(record);
  });

  it('names its files', () => {
    expect(piecesOfFile(record, 'image').map((piece) => piece.startByte)).toEqual([6000, 7000]);
    expect(piecesOfFile(record, 'other')).toEqual([]);
  });

  it('is refused when it belongs to another plan', async () => {
    await expect(readLifeboatRecord(disk(), { startByte, planId: 'plan-2' })).rejects.toThrow(/another plan/);
  });

  it.each([
    [
      'a byte in it differs',
      (bytes: Buffer) =>
        void bytes.fill(0x7a, startByte + lifeboatRecordStart + 100, startByte + lifeboatRecordStart + 101),
    ],
    ['nothing is there', (bytes: Buffer) => void bytes.fill(0)],
  ])('is refused when %s', async (_, change) => {
    await expect(readLifeboatRecord(disk(change), { startByte, planId: 'plan-1' })).rejects.toMatchObject({
      code: 'verify-mismatch',
    });
  });

  it('is refused where the disk ends before it', async () => {
    await expect(
      readLifeboatRecord(readerOf(new Uint8Array(100)), { startByte, planId: 'plan-1' }),
    ).rejects.toMatchObject({ code: 'verify-mismatch' });
  });

  it('is not written where it has no room', () => {
    const pieces = Array.from({ length: 100 }, (_, index) => ({
      path: `file ${index}`,
      startByte: index,
      sizeBytes: 1,
      sha256: 'c'.repeat(64),
    }));
    expect(() => serializeLifeboatRecord({ ...record, pieces })).toThrow(/the record of the lifeboat has \d+ bytes/);
  });
});
