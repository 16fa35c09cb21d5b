import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { MigrateError, readerOf, type TreeEntry } from '@migrate/core';
import { type FatVolume, openFat, writeFatFiles } from '@migrate/image-tools';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type FatRecipe, fillFat, makeFat, recordingWriter, smallFat32 } from './fat-image.ts';

vi.setConfig({ testTimeout: 60_000 });

const recipes: readonly FatRecipe[] = [
  { name: 'FAT12', sizeMib: 1, options: ['-F', '12', '-r', '64'] },
  { name: 'FAT16', sizeMib: 3, options: ['-F', '16', '-a', '-s', '1', '-r', '64'] },
  smallFat32,
];
const files = [{ path: '/config.json', contents: Buffer.alloc(5000, 'new') }];
const modified = new Date(0);
let directory: string;
let images: Map<FatRecipe, Buffer>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fat-fuzz-'));
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'a directory/deep'), { recursive: true });
  for (let index = 0; index < 20; index += 1)
    writeFileSync(join(tree, `a directory/file ${index}`), 'x'.repeat(index * 100));
  writeFileSync(join(tree, 'config.json'), '{}');
  images = new Map();
  for (const recipe of recipes) {
    const image = makeFat(directory, recipe);
    if (recipe !== smallFat32) fillFat(image, tree);
    const bytes = readFileSync(image);
    if (recipe === smallFat32) await writeFatFiles(recordingWriter(bytes), { files: smallFiles, modified });
    images.set(recipe, bytes);
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

const smallFiles = ['/a directory/deep/file', '/a directory/other file', '/config.json'].map((path) => ({
  path,
  contents: Buffer.alloc(3000, path),
}));

/** Places that mean something: boot sector, starts of the table and of the root directory, first clusters. */
async function placesOf(bytes: Buffer): Promise<fc.Arbitrary<number>> {
  const { geometry } = await openFat(readerOf(bytes));
  const { tableStartByte, dataStartByte, root } = geometry;
  const rootStart = 'startByte' in root ? root.startByte : dataStartByte;
  return fc.oneof(
    fc.integer({ min: 0, max: 90 }),
    fc.integer({ min: tableStartByte, max: tableStartByte + 200 }),
    fc.integer({ min: rootStart, max: rootStart + 500 }),
    fc.integer({ min: dataStartByte, max: dataStartByte + 5000 }),
  );
}

const values = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 3, 4, 5, 0x0f, 0x10, 0x2e, 0x2f, 0xe5, 0xf7, 0xff));

/** Everything that a tree can be asked for; a walk without end fails. */
async function readEverything(volume: FatVolume): Promise<void> {
  let count = 0;
  const walk = async (entry: TreeEntry): Promise<void> => {
    for (const child of await volume.children(entry)) {
      count += 1;
      if (count > 200_000) throw new Error('the walk does not end');
      if (child.kind === 'directory') await walk(child);
      else if (count < 100) await volume.open(child).read(new Uint8Array(4096), 0);
    }
  };
  const ranges = await volume.usedRanges();
  expect(
    ranges.every(
      ({ startByte, endByte }, index) => startByte > (ranges[index - 1]?.endByte ?? -1) && endByte > startByte,
    ),
  ).toBe(true);
  expect(ranges.at(-1)?.endByte).toBeLessThanOrEqual(volume.geometry.sizeBytes);
  await walk(volume.root);
}

let actions = 0;

async function acceptMigrateError(action: () => Promise<void>): Promise<'done' | 'refused'> {
  actions += 1;
  // Nothing here waits for anything, so that vitest would take this worker for dead.
  if (actions % 100 === 0) await setImmediate();
  try {
    await action();
    return 'done';
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(MigrateError);
    return 'refused';
  }
}

describe.each(recipes)('a changed $name', (recipe) => {
  it('is read or refused with one kind of error', async () => {
    const bytes = images.get(recipe) ?? Buffer.alloc(0);
    const changes = fc.array(fc.tuple(await placesOf(bytes), values), { minLength: 1, maxLength: 8 });
    const seen = { done: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        // Changed in place and changed back, as copies would take most of the time.
        const before = list.map(([offset]) => bytes[offset] ?? 0);
        list.forEach(([offset, value]) => {
          bytes[offset] = value;
        });
        try {
          seen[await acceptMigrateError(async () => readEverything(await openFat(readerOf(bytes))))] += 1;
        } finally {
          for (let index = list.length - 1; index >= 0; index -= 1) bytes[list[index]?.[0] ?? 0] = before[index] ?? 0;
        }
      }),
      { numRuns: 4000 },
    );
    expect(seen.done).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(100);
  });

  it('is written to, and then holds what was written, or left as it was', async () => {
    const original = images.get(recipe) ?? Buffer.alloc(0);
    const changes = fc.array(fc.tuple(await placesOf(original), values), { minLength: 1, maxLength: 4 });
    const seen = { done: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        const bytes = Buffer.from(original);
        for (const [offset, value] of list) bytes[offset] = value;
        const target = recordingWriter(bytes);
        const outcome = await acceptMigrateError(() => writeFatFiles(target, { files, modified }));
        seen[outcome] += 1;
        if (outcome === 'refused') expect(target.operations).toEqual([]);
        else {
          const volume = await openFat(readerOf(bytes));
          expect(Buffer.from(await volume.readFile('/config.json')).equals(files[0]?.contents ?? Buffer.alloc(0))).toBe(
            true,
          );
        }
      }),
      { numRuns: 400 },
    );
    expect(seen.done).toBeGreaterThan(20);
    expect(seen.refused).toBeGreaterThan(20);
  });
});
