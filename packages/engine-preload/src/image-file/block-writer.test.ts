import { createMemoryHost } from '@migrate/core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { blockWriter } from './block-writer.ts';
import type { BlockRun } from './file-blocks.ts';

const blockBytes = 16;
const startByte = 5;
const blocks = 64;

/** Files whose blocks lie anywhere in the file system, none of them twice, with holes between. */
const layout = fc
  .shuffledSubarray(
    Array.from({ length: blocks }, (_, index) => index),
    { minLength: 1 },
  )
  .chain((physical) =>
    fc.record({
      physical: fc.constant(physical),
      holes: fc.array(fc.nat(2), { minLength: physical.length, maxLength: physical.length }),
      cuts: fc.array(fc.boolean(), { minLength: physical.length, maxLength: physical.length }),
      tail: fc.integer({ min: 1, max: blockBytes }),
      chunk: fc.integer({ min: 1, max: 50 }),
    }),
  );

it('puts each byte where its block lies, zeros behind the end, and touches nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(layout, async ({ physical, holes, cuts, tail, chunk }) => {
      const files: { runs: BlockRun[]; sizeBytes: number }[] = [];
      let file: { runs: BlockRun[]; sizeBytes: number } | undefined;
      for (const [index, place] of physical.entries()) {
        if (file === undefined || cuts[index] === true) {
          file = { runs: [], sizeBytes: 0 };
          files.push(file);
        }
        const logical = Math.ceil(file.sizeBytes / blockBytes) + (holes[index] ?? 0);
        file.runs.push({ logical, physical: place, count: 1 });
        file.sizeBytes = logical * blockBytes + tail;
      }
      const host = createMemoryHost({ files: { '/image': 'x'.repeat(startByte + blocks * blockBytes) } });
      const image = await host.openWrite('/image');
      const writer = blockWriter(image, { startByte, blockBytes });
      const expected = Buffer.alloc(startByte + blocks * blockBytes, 'x');
      for (const { runs, sizeBytes } of files) {
        const contents = Buffer.alloc(sizeBytes);
        for (const { logical, physical: place } of runs) {
          const bytes = Buffer.alloc(Math.min(blockBytes, sizeBytes - logical * blockBytes), `${place}.`);
          bytes.copy(contents, logical * blockBytes);
          expected.fill(0, startByte + place * blockBytes, startByte + (place + 1) * blockBytes);
          bytes.copy(expected, startByte + place * blockBytes);
        }
        const pieces = async function* () {
          for (let at = 0; at < contents.length; at += chunk) yield contents.subarray(at, at + chunk);
        };
        await writer.write({ sizeBytes, runs, contents: pieces() });
      }
      await writer.finish();
      await image.close();
      expect(Buffer.from(await host.readFile('/image')).equals(expected)).toBe(true);
    }),
  );
});

it('refuses contents that are shorter than is said', async () => {
  const image = await createMemoryHost({ files: { '/image': 'x' } }).openWrite('/image');
  const contents = (async function* () {
    yield new Uint8Array(3);
  })();
  const file = { sizeBytes: 4, runs: [{ logical: 0, physical: 0, count: 1 }], contents };
  await expect(blockWriter(image, { startByte: 0, blockBytes: 16 }).write(file)).rejects.toThrow('not of the size');
});
