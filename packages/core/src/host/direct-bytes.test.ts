import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alignedBuffers, openDirect } from './direct-bytes.ts';

const sizeBytes = 64 * 1024;
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'direct-bytes-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Mostly at the edges of sectors and pages. */
const anyPlace = fc.oneof(
  fc.integer({ min: 0, max: sizeBytes / 4096 }).map((page) => page * 4096),
  fc.integer({ min: 0, max: sizeBytes / 512 }).map((sector) => sector * 512),
  fc.nat(sizeBytes),
);

describe('openDirect', () => {
  it('reads and writes the same bytes, aligned or not, in aligned memory or not', async () => {
    const path = join(directory, 'file');
    const accesses = fc.array(fc.tuple(anyPlace, anyPlace, fc.boolean(), fc.constantFrom(0, 1, 512)), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(accesses, async (list) => {
        const expected = Buffer.alloc(sizeBytes, 0x55);
        writeFileSync(path, expected);
        const disk = await openDirect(path);
        for (const [index, [one, other, isAligned, offset]] of list.entries()) {
          const [startByte, endByte] = one < other ? [one, other] : [other, one];
          const [memory = Buffer.alloc(0)] = isAligned
            ? alignedBuffers(1, sizeBytes + 512)
            : [Buffer.alloc(sizeBytes + 512)];
          const bytes = memory.subarray(offset, offset + endByte - startByte).fill(index + 1);
          await disk.write(bytes, startByte);
          expected.fill(index + 1, startByte, endByte);
          bytes.fill(0);
          expect(await disk.read(bytes, startByte)).toBe(bytes.length);
          expect(bytes.every((byte) => byte === index + 1)).toBe(true);
        }
        await disk.flush();
        await disk.close();
        expect(readFileSync(path).equals(expected)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('reads less than asked at the end, and nothing behind it', async () => {
    const path = join(directory, 'odd');
    writeFileSync(path, Buffer.alloc(10_000, 7));
    const disk = await openDirect(path);
    const [memory = Buffer.alloc(0)] = alignedBuffers(1, sizeBytes);
    expect(await disk.read(memory, 0)).toBe(10_000);
    expect(await disk.read(memory, 4096)).toBe(10_000 - 4096);
    expect(await disk.read(memory, 9999)).toBe(1);
    expect(await disk.read(memory, 12_288)).toBe(0);
    await disk.close();
  });

  it('serves where O_DIRECT is not to be had', async () => {
    const disk = await openDirect('/dev/null');
    await disk.write(Buffer.alloc(4096), 0);
    expect(await disk.read(Buffer.alloc(4096), 0)).toBe(0);
    await disk.close();
    await expect(openDirect(join(directory, 'none'))).rejects.toMatchObject({ code: 'read-failed' });
  });
});
