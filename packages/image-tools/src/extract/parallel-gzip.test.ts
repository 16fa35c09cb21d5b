import { execFileSync } from 'node:child_process';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gzipStream } from './parallel-gzip.ts';

const kibibyte = 1024;

async function packed(chunks: readonly Uint8Array[], level?: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const source = (async function* () {
    yield* chunks;
  })();
  for await (const part of gzipStream(source, level === undefined ? {} : { level })) parts.push(part);
  return Buffer.concat(parts);
}

/** Text that repeats itself over distances below and beyond a block. */
function text(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = 1;
  for (let index = 0; index < sizeBytes; index += 1) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    bytes[index] = index % 97 < 60 ? 97 + (index % 13) : 97 + ((state >> 16) % 20);
  }
  return bytes;
}

describe('gzipStream', () => {
  it('gives back any stream, however it is cut', async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 300 * kibibyte }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 9 }), async (lengths, level) => {
        const whole = text(lengths.reduce((sum, length) => sum + length, 0));
        let offset = 0;
        const chunks = lengths.map((length) => {
          offset += length;
          return whole.subarray(offset - length, offset);
        });
        expect(gunzipSync(await packed(chunks, level)).equals(whole)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it.each([0, 1, 256 * kibibyte - 1, 256 * kibibyte, 256 * kibibyte + 1, 512 * kibibyte])(
    'is one member that gzip accepts, for %i bytes',
    async (sizeBytes) => {
      const bytes = await packed([text(sizeBytes)]);
      expect(execFileSync('gzip', ['-dc'], { input: bytes, maxBuffer: 2 ** 24 }).equals(text(sizeBytes))).toBe(true);
      expect(bytes.readUInt32LE(bytes.length - 4)).toBe(sizeBytes);
    },
  );

  it('is at most one percent larger than from one thread', async () => {
    const whole = text(3000 * kibibyte);
    expect((await packed([whole])).length).toBeLessThan(gzipSync(whole, { level: 6 }).length * 1.01);
  });

  it('makes the same bytes of the same stream, cut in another way', async () => {
    const whole = text(700 * kibibyte);
    const cut = [whole.subarray(0, 5), whole.subarray(5, 300_000), whole.subarray(300_000)];
    expect((await packed(cut)).equals(await packed([whole]))).toBe(true);
  });

  it('passes on what its source throws, and ends the source when it is left', async () => {
    let wasEnded = false;
    const failing = (async function* () {
      yield Buffer.alloc(10);
      throw new Error('the disk is gone');
    })();
    const endless = (async function* () {
      try {
        for (;;) yield Buffer.alloc(300 * kibibyte);
      } finally {
        wasEnded = true;
      }
    })();
    await expect(async () => {
      for await (const part of gzipStream(failing)) expect(part.length).toBeGreaterThan(0);
    }).rejects.toThrow('the disk is gone');
    let parts = 0;
    for await (const part of gzipStream(endless)) {
      parts += part.length > 0 ? 1 : 0;
      if (parts === 3) break;
    }
    expect(wasEnded).toBe(true);
  });
});
