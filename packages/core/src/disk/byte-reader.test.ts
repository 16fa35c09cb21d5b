import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteReader } from '../host/host.ts';
import { readExactly, readerOf, windowsOf } from './byte-reader.ts';

const bytes = Uint8Array.from({ length: 200 }, (_, index) => index);

describe('parts of a reader, one behind the other', () => {
  const part = fc.record({
    startByte: fc.integer({ min: 0, max: 150 }),
    sizeBytes: fc.integer({ min: 0, max: 50 }),
  });

  it('read as the bytes of all of them, from any place on, and end with the last', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 6 }),
        fc.nat(300),
        fc.nat(300),
        async (parts, position, sizeBytes) => {
          const whole = Buffer.concat(
            parts.map(({ startByte, sizeBytes: length }) => bytes.subarray(startByte, startByte + length)),
          );
          const joined = windowsOf(readerOf(bytes), parts);
          const target = new Uint8Array(sizeBytes);
          const count = await joined.read(target, position);
          expect(joined.sizeBytes).toBe(whole.length);
          expect([...target.subarray(0, count)]).toEqual([...whole.subarray(position, position + sizeBytes)]);
        },
      ),
    );
  });

  it('do not go on behind a part that is shorter than it should be', async () => {
    const short: ByteReader = {
      ...readerOf(bytes),
      read: async (target, position) => (position < 20 ? 1 : target.length),
    };
    const parts = [
      { startByte: 10, sizeBytes: 5 },
      { startByte: 30, sizeBytes: 5 },
    ];
    expect(await readExactly(windowsOf(short, parts), 0, 10)).toBeUndefined();
  });
});
