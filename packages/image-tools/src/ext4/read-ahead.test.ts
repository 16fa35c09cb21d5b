import { type ByteReader, MigrateError, readerOf } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAhead } from './read-ahead.ts';

const bytes = Buffer.from(Array.from({ length: 600_000 }, (_, index) => (index * 7919) >>> 8));

describe('readAhead', () => {
  it('gives what the reader gives, in any order and beyond the end', async () => {
    const places = fc.array(fc.tuple(fc.nat(bytes.length + 1000), fc.nat(100_000)), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(places, async (reads) => {
        const reader = readAhead(readerOf(bytes));
        for (const [position, length] of reads) {
          const target = Buffer.alloc(length);
          const wanted = bytes.subarray(position, position + length);
          expect(await reader.read(target, position)).toBe(wanted.length);
          expect(target.subarray(0, wanted.length).equals(wanted)).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('serves small files side by side by few reads', async () => {
    let reads = 0;
    const inner = readerOf(bytes);
    const counted: ByteReader = {
      ...inner,
      read: (target, position) => {
        reads += 1;
        return inner.read(target, position);
      },
    };
    const reader = readAhead(counted);
    for (let position = 0; position < bytes.length; position += 4096) await reader.read(Buffer.alloc(4096), position);
    expect(reads).toBeLessThan(10);
  });

  it('reads what lies before a place that cannot be read', async () => {
    const inner = readerOf(bytes);
    const broken: ByteReader = {
      ...inner,
      read: async (target, position) => {
        if (position + target.length > 10_000) throw new MigrateError('read-failed', 'bad sector');
        return inner.read(target, position);
      },
    };
    const reader = readAhead(broken);
    expect(await reader.read(Buffer.alloc(4096), 0)).toBe(4096);
    await expect(reader.read(Buffer.alloc(4096), 8192)).rejects.toThrow('bad sector');
    expect(await reader.read(Buffer.alloc(1000), 5000)).toBe(1000);
  });
});
