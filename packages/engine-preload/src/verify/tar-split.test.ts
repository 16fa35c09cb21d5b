import { gzipSync } from 'node:zlib';
import { readerOf } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTarSplit, type TarSplitEntry } from './tar-split.ts';

async function read(bytes: Uint8Array): Promise<readonly TarSplitEntry[]> {
  const entries: TarSplitEntry[] = [];
  for await (const entry of readTarSplit(readerOf(bytes), 'tar-split.json.gz')) entries.push(entry);
  return entries;
}

const lines = (...values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('');

describe('readTarSplit', () => {
  it('reads segments and files, and names that are not UTF-8', async () => {
    const text = lines(
      { type: 2, payload: Buffer.from('head').toString('base64'), position: 0 },
      { type: 1, name: 'a/ü', size: 3, payload: 'AAAAAAAAAAA=', position: 1 },
      { type: 1, name_raw: Buffer.from([0x61, 0xff]).toString('base64'), payload: null, position: 2 },
    );
    expect(await read(gzipSync(text))).toEqual([
      { kind: 'segment', bytes: Buffer.from('head') },
      { kind: 'file', name: Buffer.from('a/ü'), sizeBytes: 3 },
      { kind: 'file', name: Buffer.from([0x61, 0xff]), sizeBytes: 0 },
    ]);
  });

  it('reads lines of any length, and a last one without an end', async () => {
    const payload = fc.array(fc.uint8Array({ maxLength: 90_000 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(payload, async (segments) => {
        const text = lines(...segments.map((bytes) => ({ type: 2, payload: Buffer.from(bytes).toString('base64') })));
        const entries = await read(gzipSync(text.trimEnd()));
        expect(entries).toEqual(segments.map((bytes) => ({ kind: 'segment', bytes: Buffer.from(bytes) })));
      }),
      { numRuns: 25 },
    );
  });

  it.each([
    ['no gzip', Buffer.from('{}'), 'is no complete gzip file'],
    ['a cut file', gzipSync(lines({ type: 2, payload: 'AAAA' })).subarray(0, -9), 'is no complete gzip file'],
    ['another type', gzipSync(lines({ type: 3 })), 'line 1: the type must be 1 or 2'],
    ['no JSON', gzipSync('{"type":2,"payload":""}\n{"ty'), 'line 2 is not valid JSON'],
    ['a negative size', gzipSync(lines({ type: 1, name: 'a', size: -1 })), 'size must be a whole number'],
    ['a line without end', gzipSync(Buffer.alloc(17 * 1024 * 1024, 'x')), 'has a line of more than'],
  ])('refuses %s', async (_, bytes, message) => {
    await expect(read(bytes)).rejects.toThrow(message);
  });
});
