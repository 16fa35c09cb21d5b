import { createHash } from 'node:crypto';
import { createMemoryHost, type Event, type ImageFacts, MigrateError } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunksOf } from '../flash/chunks.ts';
import { chunkBytes } from '../flash/prove-image.ts';
import { checkProven, parseUsedMap, readUsedMap, serializeUsedMap, type UsedMapFile } from './used-map-file.ts';

const mebibyte = 1024 * 1024;
const path = '/images/x.img.gz.usedmap.json';

function facts(ranges: readonly (readonly [number, number])[], sizeBytes = 64 * mebibyte): ImageFacts {
  const place = {
    sizeBytes,
    chunkBytes,
    usedBlocks: {
      ranges: ranges.map(([startByte, endByte]) => ({ startByte, endByte })),
      wholePartitions: [{ number: 4, why: 'it holds swap' }],
    },
  };
  return {
    ...place,
    path: '/images/x.img.gz',
    compression: 'gzip',
    fileBytes: 1000,
    fileSha256: 'a'.repeat(64),
    chunkSha256: chunksOf(place).map(({ startByte }) => createHash('sha256').update(String(startByte)).digest('hex')),
    table: { kind: 'gpt', id: '', partitions: [] },
    kind: 'unknown',
    labels: {},
  };
}

const image = facts([
  [0, 3 * mebibyte],
  [5 * mebibyte, 5 * mebibyte + 512],
  [10 * mebibyte, 30 * mebibyte],
  [64 * mebibyte - 5, 64 * mebibyte],
]);

describe('a used-block map', () => {
  it('gives back what was written', () => {
    const map = parseUsedMap(serializeUsedMap(image), path);
    const { fileBytes, fileSha256, sizeBytes, usedBlocks, chunkSha256 } = image;
    expect(map).toEqual({ path, fileBytes, fileSha256, sizeBytes, chunkBytes, usedBlocks, chunkSha256 });
    expect(() => checkProven(map, image)).not.toThrow();
  });

  it('says for each range where it lies, with one hash for each chunk of it', () => {
    const { ranges } = JSON.parse(serializeUsedMap(image)) as UsedMapFile;
    expect(ranges.map(({ chunkSha256 }) => chunkSha256.length)).toEqual([2, 1, 10, 1]);
  });

  it('is refused with another image', () => {
    const map = parseUsedMap(serializeUsedMap(image), path);
    const others: Partial<ImageFacts>[] = [
      { fileSha256: 'b'.repeat(64) },
      { fileBytes: 1001 },
      { sizeBytes: image.sizeBytes + 1 },
      { chunkSha256: image.chunkSha256.toReversed() },
      { chunkSha256: image.chunkSha256.slice(1) },
    ];
    for (const other of others) {
      expect(() => checkProven(map, { ...image, ...other })).toThrow(
        expect.objectContaining({
          code: 'verify-mismatch',
          message: expect.stringContaining('belongs to another image'),
        }),
      );
    }
  });

  const change = (edit: (file: Record<string, unknown>) => void): string => {
    const file = JSON.parse(serializeUsedMap(image)) as Record<string, unknown>;
    edit(file);
    return JSON.stringify(file);
  };
  const range = (index: number, edit: Record<string, unknown>): string =>
    change((file) => void Object.assign((file.ranges as object[])[index] as object, edit));

  it.each([
    ['ranges that overlap', range(1, { startByte: 2 * mebibyte, chunkSha256: ['a'.repeat(64), 'a'.repeat(64)] })],
    ['ranges that touch', range(1, { startByte: 3 * mebibyte, chunkSha256: ['a'.repeat(64), 'a'.repeat(64)] })],
    ['ranges out of order', change((file) => void (file.ranges as object[]).reverse())],
    ['a range beyond the end', range(3, { endByte: 64 * mebibyte + 1, chunkSha256: Array(2).fill('a'.repeat(64)) })],
    ['an empty range', range(1, { endByte: 5 * mebibyte })],
    ['a range that runs backwards', range(1, { endByte: 4 * mebibyte })],
    ['first sectors left out', range(0, { startByte: 512 })],
    ['no range', change((file) => void Object.assign(file, { ranges: [] }))],
    ['a negative place', range(0, { startByte: -512 })],
    ['a place in the middle of a byte', range(1, { endByte: 5 * mebibyte + 0.5 })],
    ['a place beyond all numbers', range(3, { endByte: 1e300 })],
    ['too few hashes', range(2, { chunkSha256: ['a'.repeat(64)] })],
    ['too many hashes', range(1, { chunkSha256: ['a'.repeat(64), 'a'.repeat(64)] })],
    ['a hash that is none', range(1, { chunkSha256: ['A'.repeat(64)] })],
    ['another chunk size', change((file) => void Object.assign(file, { chunkBytes: 1 }))],
    ['an unknown key', change((file) => void Object.assign(file, { more: 1 }))],
    ['a missing part', change((file) => void Reflect.deleteProperty(file, 'image'))],
    ['a list', '[]'],
    ['nothing', ''],
    ['half a file', serializeUsedMap(image).slice(0, 200)],
  ])('with %s is refused', (_name, text) => {
    expect(() => parseUsedMap(text, path)).toThrow(
      expect.objectContaining({
        code: 'invalid-input',
        message: expect.stringMatching(/remove the map, or make it anew/),
      }),
    );
  });

  it('of a later version is refused as that', () => {
    const text = change((file) => void Object.assign(file, { version: 2 }));
    expect(() => parseUsedMap(text, path)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('never makes reading throw anything else, whatever the text', () => {
    const text = serializeUsedMap(facts([[0, 3 * mebibyte]]));
    const edits = fc.array(fc.tuple(fc.nat(text.length), fc.string({ maxLength: 5 }), fc.nat(5)), { maxLength: 4 });
    fc.assert(
      fc.property(edits, (changes) => {
        let changed = text;
        for (const [at, piece, drop] of changes) changed = changed.slice(0, at) + piece + changed.slice(at + drop);
        try {
          parseUsedMap(changed, path);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(MigrateError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('readUsedMap', () => {
  const notes: Event[] = [];
  const emit = (event: Event): void => void notes.push(event);

  it('finds the map beside an image, and none where there is none', async () => {
    const host = createMemoryHost({ files: { [path]: serializeUsedMap(image), '/other/x.img.gz': '' } });
    expect((await readUsedMap(host, '/images/x.img.gz', emit))?.usedBlocks).toEqual(image.usedBlocks);
    expect(await readUsedMap(host, '/other/x.img.gz', emit)).toBeUndefined();
  });

  it('names the file that is at fault', async () => {
    const host = createMemoryHost({ files: { [path]: '{}' } });
    await expect(readUsedMap(host, '/images/x.img.gz', emit)).rejects.toThrow(
      /^\/images\/x\.img\.gz\.usedmap\.json: this is no sound used-block map/,
    );
  });

  it('refuses a bmap in its place with the reason, and says why one beside the image is not used', async () => {
    const bmap = '<?xml version="1.0" ?>\n<bmap version="2.0"><ImageSize> 1 </ImageSize></bmap>\n';
    const misplaced = createMemoryHost({ files: { [path]: bmap } });
    await expect(readUsedMap(misplaced, '/images/x.img.gz', emit)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('files are damaged on a disk that is not blank'),
    });
    for (const name of ['/images/x.img.bmap', '/images/x.img.gz.bmap']) {
      notes.length = 0;
      expect(
        await readUsedMap(createMemoryHost({ files: { [name]: bmap } }), '/images/x.img.gz', emit),
      ).toBeUndefined();
      expect(notes).toMatchObject([{ kind: 'note', text: expect.stringContaining(`${name} is not used`) }]);
    }
  });
});
