import { execFileSync } from 'node:child_process';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type ByteReader, MigrateError, readerOf } from '@migrate/core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { InflateEngine } from './inflate-engine.ts';
import { readImageBytes } from './inflate-image.ts';
import { noise } from './noise.ts';

const kibibyte = 1024;
const sliceBytes = 256 * kibibyte;

let engine: InflateEngine = 'node';

async function inflateAll(file: Uint8Array, maximumBytes?: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const options = {
    path: 'x.img.gz',
    compression: 'gzip' as const,
    engine,
    ...(maximumBytes === undefined ? {} : { maximumBytes }),
  };
  for await (const bytes of readImageBytes(readerOf(file), options)) parts.push(bytes);
  return Buffer.concat(parts);
}

/** Stored rather than compressed, with a comment in the header so that the file is exactly as long as wanted. */
function memberOfSize(contents: Buffer, fileBytes: number): Buffer {
  const plain = gzipSync(contents);
  const header = Buffer.from(plain.subarray(0, 10));
  header[3] = 0x10; // FCOMMENT (RFC 1952, section 2.3.1)
  const comment = Buffer.alloc(fileBytes - plain.length - 1, 'c');
  return Buffer.concat([header, comment, Buffer.from([0]), plain.subarray(10)]);
}

describe.each(['node', 'zlib-sync'] as const)('readImageBytes by %s', (name) => {
  beforeAll(() => {
    engine = name;
  });

  it('gives what gzip -dc gives, whatever the contents and however many members', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(300_000), fc.boolean()), { minLength: 1, maxLength: 5 }),
        async (members) => {
          const contents = members.map(([size, isNoise]) => (isNoise ? noise(size) : Buffer.alloc(size, 'abc')));
          const file = Buffer.concat(contents.map((part) => gzipSync(part)));
          const found = await inflateAll(file);
          expect(found.equals(Buffer.concat(contents))).toBe(true);
          expect(found.equals(execFileSync('gzip', ['-dc'], { input: file, maxBuffer: 8 * kibibyte * kibibyte }))).toBe(
            true,
          );
        },
      ),
      { numRuns: 10 },
    );
  });

  it('goes on where a member ends exactly with a slice of input', async () => {
    const first = memberOfSize(noise(1000), sliceBytes);
    expect(first.length).toBe(sliceBytes);
    const found = await inflateAll(Buffer.concat([first, gzipSync('second')]));
    expect(found.equals(Buffer.concat([noise(1000), Buffer.from('second')]))).toBe(true);
  });

  it('goes on where a member ends between the pieces that an engine takes', async () => {
    // Noise is stored, so lengths are known: a header of 10 bytes, one of 5, and a trailer of 8.
    for (let sizeBytes = 4096 - 23 - 9; sizeBytes < 4096 - 23 + 9; sizeBytes += 1) {
      const first = noise(sizeBytes);
      const file = Buffer.concat([gzipSync(first), gzipSync('a')]);
      const found = await inflateAll(file);
      expect(found.equals(Buffer.concat([first, Buffer.from('a')])), `${sizeBytes}`).toBe(true);
    }
  });

  it('takes zeros behind the image for padding, and anything else for damage with its place', async () => {
    const file = gzipSync(noise(5000));
    for (const padding of [1, 511, sliceBytes - file.length, sliceBytes, 3 * sliceBytes]) {
      expect((await inflateAll(Buffer.concat([file, Buffer.alloc(padding)]))).length, `${padding}`).toBe(5000);
      const garbage = Buffer.concat([file, Buffer.alloc(padding), Buffer.from('x')]);
      await expect(inflateAll(garbage), `${padding}`).rejects.toMatchObject({
        code: 'invalid-input',
        data: { path: 'x.img.gz', offsetByte: file.length + padding },
      });
    }
  });

  it('shows each byte of the file once, padding included', async () => {
    const file = Buffer.concat([gzipSync(noise(700_000)), Buffer.alloc(2 * sliceBytes + 5)]);
    const seen: Buffer[] = [];
    const onFileBytes = (bytes: Uint8Array): void => void seen.push(Buffer.from(bytes));
    for await (const _ of readImageBytes(readerOf(file), { path: 'x', compression: 'gzip', engine, onFileBytes }));
    expect(Buffer.concat(seen).equals(file)).toBe(true);
  });

  it('names the end of a file that is cut off', async () => {
    const file = gzipSync(noise(600_000)).subarray(0, 400_000);
    await expect(inflateAll(file)).rejects.toThrow('x.img.gz is damaged at or after byte 400000: the file is cut off');
  });

  it('never gives other bytes than gunzip, wherever a byte is changed', async () => {
    const original = gzipSync(Buffer.concat([noise(2000), Buffer.alloc(100_000), noise(2000)]));
    await fc.assert(
      fc.asyncProperty(fc.nat(original.length - 1), fc.integer({ min: 1, max: 255 }), async (offset, change) => {
        const file = Buffer.from(original);
        file[offset] = (file[offset] ?? 0) ^ change;
        const found = await inflateAll(file).catch((thrown: unknown) => {
          expect(thrown).toBeInstanceOf(MigrateError);
          expect(thrown).toMatchObject({ code: 'invalid-input' });
        });
        // Only time stamp and system name of the header may differ without harm.
        if (found instanceof Buffer) expect(found.equals(gunzipSync(original))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('stops a decompression bomb at its limit', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * kibibyte * kibibyte));
    await expect(inflateAll(bomb, 10_000_000)).rejects.toThrow('more than 10000000 bytes');
    expect((await inflateAll(gzipSync(noise(1000)), 1000)).length).toBe(1000);
  });

  it('gives no more than a few MiB at once, however much the file explodes', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * kibibyte * kibibyte));
    let largest = 0;
    for await (const bytes of readImageBytes(readerOf(bomb), { path: 'x', compression: 'gzip', engine })) {
      largest = Math.max(largest, bytes.length);
    }
    expect(largest).toBeLessThan(5 * kibibyte * kibibyte);
  });

  it('reads no further than asked, and lets go of an image that is left early', async () => {
    const file = gzipSync(noise(20 * kibibyte * kibibyte));
    let readBytes = 0;
    const plain = readerOf(file);
    const source: ByteReader = {
      ...plain,
      read: async (target, position) => {
        readBytes += target.length;
        return plain.read(target, position);
      },
    };
    for await (const _ of readImageBytes(source, { path: 'x', compression: 'gzip', engine })) break;
    expect(readBytes).toBeLessThan(4 * kibibyte * kibibyte);
  });

  it('passes on why the file could not be read', async () => {
    const plain = readerOf(gzipSync(noise(2_000_000)));
    const source: ByteReader = {
      ...plain,
      read: async (target, position) => {
        if (position > 1_000_000) throw new MigrateError('read-failed', 'I/O error');
        return plain.read(target, position);
      },
    };
    const read = async (): Promise<void> => {
      for await (const _ of readImageBytes(source, { path: 'x', compression: 'gzip', engine }));
    };
    await expect(read()).rejects.toMatchObject({ code: 'read-failed', message: 'I/O error' });
  });
});
