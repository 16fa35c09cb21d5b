import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fatTimeOf, fatTimeToNs } from './fat-time.ts';

describe('times of FAT', () => {
  it('come back to 10 ms', () => {
    const moments = fc.date({
      min: new Date('1980-01-01T00:00:00Z'),
      max: new Date('2107-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(moments, (moment) => {
        const lostNs = BigInt(moment.getTime()) * 1_000_000n - fatTimeToNs(fatTimeOf(moment));
        expect(lostNs >= 0n && lostNs < 10_000_000n).toBe(true);
      }),
    );
  });

  it('stop at the first and the last that there is', () => {
    const text = (moment: string): string =>
      new Date(Number(fatTimeToNs(fatTimeOf(new Date(moment))) / 1_000_000n)).toISOString();
    expect(text('1970-01-01T00:00:00Z')).toBe('1980-01-01T00:00:00.000Z');
    expect(text('2200-01-01T00:00:00Z')).toBe('2107-12-31T23:59:59.990Z');
  });

  it('are some time whatever the bits are', () => {
    const bits = fc.nat(0xffff);
    fc.assert(
      fc.property(bits, bits, fc.nat(255), (date, time, hundredths) => {
        const ns = fatTimeToNs({ date, time, hundredths });
        expect(ns >= BigInt(Date.UTC(1980, 0, 1)) * 1_000_000n).toBe(true);
      }),
    );
    expect(fatTimeToNs({ date: 0, time: 0, hundredths: 0 })).toBe(BigInt(Date.UTC(1980, 0, 1)) * 1_000_000n);
  });
});
