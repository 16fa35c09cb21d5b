import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32, crc32ByTable } from './crc32.ts';

describe('crc32', () => {
  it('has the check value of the catalogue of CRCs (CRC-32/ISO-HDLC)', () => {
    for (const sum of [crc32, crc32ByTable]) expect(sum(Buffer.from('123456789'))).toBe(0xcbf43926);
  });

  it('goes on from the bytes before, by either way', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (first, second) => {
        const whole = crc32(Buffer.concat([first, second]));
        expect(crc32(second, crc32(first))).toBe(whole);
        expect(crc32ByTable(second, crc32ByTable(first))).toBe(whole);
      }),
    );
  });
});
