import { randomFillSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MigrateError, readerOf } from '@migrate/core';
import { type FatFile, openFat, writeFatFiles } from '@migrate/image-tools';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  checkWithFsck,
  type FatRecipe,
  fatRecipes,
  fillFat,
  listTree,
  listWithMtools,
  makeFat,
  type RecordedWrite,
  recordingWriter,
  smallFat32,
} from './fat-image.ts';

vi.setConfig({ testTimeout: 30_000 });

const modified = new Date('2026-03-04T05:06:07.890Z');
const [fat12 = smallFat32, , fat16 = smallFat32] = fatRecipes;
let directory: string;
let tree: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fat-writer-'));
  tree = join(directory, 'tree');
  mkdirSync(join(tree, 'system-connections'), { recursive: true });
  mkdirSync(join(tree, 'overlays'));
  writeFileSync(join(tree, 'config.json'), '{}\n');
  writeFileSync(join(tree, 'system-connections/balena-sample.ignore'), Buffer.alloc(5000, 'sample'));
  for (let index = 0; index < 30; index += 1)
    writeFileSync(join(tree, 'overlays', `overlay-${index}.dtbo`), `${index}`);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A file system as that of a boot partition; mtools cannot fill the small FAT32, so its first files are ours. */
async function bootFileSystem(recipe: FatRecipe): Promise<Buffer> {
  const image = makeFat(directory, recipe);
  if (recipe !== smallFat32) fillFat(image, tree);
  const bytes = readFileSync(image);
  if (recipe === smallFat32) {
    const files = [file('/config.json', '{}\n'), file('/overlays/overlay-1.dtbo', '1')];
    await writeFatFiles(recordingWriter(bytes), { files, modified });
  }
  return bytes;
}

function file(path: string, contents: string | Uint8Array): FatFile {
  return { path, contents: Buffer.from(contents) };
}

function save(bytes: Uint8Array): string {
  const path = join(mkdtempSync(join(directory, 'saved-')), 'fat.img');
  writeFileSync(path, bytes);
  return path;
}

const newFiles: readonly FatFile[] = [
  file('/config.json', `${JSON.stringify({ apiKey: 'x'.repeat(9000) })}\n`),
  file('/system-connections/office.nmconnection', '[connection]\nid=office\n'),
  file('/system-connections/Grüße aus 日本 😀', 'Unicode'),
  file('/system-connections/UPPER.TXT', 'no long name'),
  file('/deep/er/and deeper/empty', ''),
  file('/deep/er/and deeper/large', Buffer.alloc(150_000, 'large')),
  ...Array.from({ length: 40 }, (_, index) =>
    file(`/overlays/a new overlay with a long name ${index}.dtbo`, `${index}`),
  ),
];

describe('writeFatFiles', () => {
  it.each([...fatRecipes, smallFat32])(
    'adds and replaces files in $name, as fsck.vfat and mtools see it',
    async (recipe) => {
      const before = await bootFileSystem(recipe);
      const bytes = Buffer.from(before);
      await writeFatFiles(recordingWriter(bytes), { files: newFiles, modified });
      const image = save(bytes);
      checkWithFsck(image);
      const volume = await openFat(readerOf(bytes));
      for (const { path, contents } of newFiles) {
        expect(Buffer.from(await volume.readFile(path)).equals(contents), path).toBe(true);
        expect((await volume.find(path))?.modifiedNs).toBe(BigInt(Date.UTC(2026, 2, 4, 5, 6, 6)) * 1_000_000n);
      }
      const listing = await listTree(volume);
      expect(listing).toMatchObject(withoutConfig(await listTree(await openFat(readerOf(before)))));
      // mtools cannot read names beyond the basic plane of Unicode.
      if (recipe !== smallFat32) expect(withoutEmoji(listWithMtools(image))).toEqual(withoutEmoji(listing));
      const { dataStartByte, tableStartByte, infoStartByte = 0 } = volume.geometry;
      const changedReserved = changedSectors(before.subarray(0, tableStartByte), bytes);
      expect(changedReserved).toEqual(infoStartByte === 0 ? [] : [infoStartByte]);
      const used = await (await openFat(readerOf(before))).usedRanges();
      const changedContents = used
        .filter(({ startByte }) => startByte >= dataStartByte)
        .flatMap(({ startByte, endByte }) =>
          changedSectors(before.subarray(startByte, endByte), bytes.subarray(startByte)),
        );
      // Parts of the directories that were there: nothing else that was in use is written.
      expect(changedContents.length).toBeLessThan(20);
    },
  );

  it('corrects a wrong number of free clusters, of which fsck.vfat complains', async () => {
    const bytes = await bootFileSystem(smallFat32);
    const { geometry } = await openFat(readerOf(bytes));
    const { infoStartByte = 0 } = geometry;
    bytes.writeUInt32LE(1, infoStartByte + 488);
    expect(() => checkWithFsck(save(bytes))).toThrow(/Free cluster summary wrong/);
    await writeFatFiles(recordingWriter(bytes), { files: newFiles, modified });
    checkWithFsck(save(bytes));
  });

  it('writes nothing where all is there already', async () => {
    const bytes = await bootFileSystem(smallFat32);
    await writeFatFiles(recordingWriter(bytes), { files: newFiles, modified });
    const second = recordingWriter(bytes);
    await writeFatFiles(second, { files: newFiles, modified: new Date() });
    expect(second.operations).toEqual([]);
  });

  it('keeps the name, its case and the time of creation of a file that it replaces', async () => {
    const bytes = await bootFileSystem(smallFat32);
    const created = (await (await openFat(readerOf(bytes))).find('/config.json'))?.createdNs;
    await writeFatFiles(recordingWriter(bytes), { files: [file('/CONFIG.JSON', 'new')], modified: new Date() });
    const entries = await (await openFat(readerOf(bytes))).list('/');
    expect(entries.map(({ text }) => text)).toEqual(['config.json', 'overlays']);
    expect(entries[0]).toMatchObject({ sizeBytes: 3, createdNs: created });
    checkWithFsck(save(bytes));
  });

  it.each([
    ['a full file system', ['-F', '12'], [file('/a', 'a'), file('/b', Buffer.alloc(3_000_000))]],
    [
      'a full root directory',
      ['-F', '12', '-r', '16'],
      Array.from({ length: 20 }, (_, index) => file(`/f${index}`, 'x')),
    ],
  ])('refuses %s and leaves it as it was', async (_, options, files) => {
    const bytes = readFileSync(makeFat(directory, { name: '', sizeMib: 2, options }));
    const target = recordingWriter(bytes);
    await expect(writeFatFiles(target, { files, modified })).rejects.toMatchObject({ code: 'no-space' });
    expect(target.operations).toEqual([]);
  });

  it.each([
    ['two files of one name', [file('/a', ''), file('/A', '')], /two files are called/],
    ['a file where a directory is', [file('/overlays', '')], /is a directory/],
    ['a directory where a file is', [file('/config.json/a', '')], /is a file/],
    ['the short name of another', [file('/longer name.txt', ''), file('/LONGER~1.TXT', '')], /is also the short name/],
    ['no name', [file('/', '')], /cannot be a name/],
    ...['a:b', 'a*', 'dot.', 'space ', 'tab\t', '\ud800', 'x'.repeat(256), '..'].map((name) => {
      return [JSON.stringify(name), [file(`/${name}`, '')], /cannot be a name/] as const;
    }),
  ] as const)('refuses %s', async (_, files, message) => {
    const bytes = await bootFileSystem(smallFat32);
    const target = recordingWriter(bytes);
    await expect(writeFatFiles(target, { files, modified })).rejects.toThrow(message);
    expect(target.operations).toEqual([]);
  });

  it('refuses to write into a damaged file system', async () => {
    const bytes = await bootFileSystem(fat12);
    const { tableStartByte, tableBytes } = (await openFat(readerOf(bytes))).geometry;
    const secondTable = Buffer.from(bytes);
    secondTable[tableStartByte + tableBytes + 9] = 0x55;
    await expect(writeFatFiles(recordingWriter(secondTable), { files: newFiles, modified })).rejects.toThrow(
      /copies .* differ/,
    );
    const crossed = Buffer.from(bytes);
    const volume = await openFat(readerOf(crossed));
    const [first, second] = await Promise.all(
      ['/config.json', '/overlays/overlay-1.dtbo'].map((path) => volume.find(path)),
    );
    const place = (second?.inode ?? 0) + 26;
    crossed.writeUInt16LE(first?.firstCluster ?? 0, place);
    await expect(writeFatFiles(recordingWriter(crossed), { files: newFiles, modified })).rejects.toThrow(
      /is used twice/,
    );
    crossed.writeUInt16LE(0xff00, place);
    await expect(writeFatFiles(recordingWriter(crossed), { files: newFiles, modified })).rejects.toThrow(
      /leads to cluster/,
    );
  });

  it.each([fat12, fat16, smallFat32])('leaves old or new files in $name wherever it is cut off', async (recipe) => {
    const before = await bootFileSystem(recipe);
    const after = Buffer.from(before);
    const target = recordingWriter(after);
    await writeFatFiles(target, { files: newFiles, modified });
    const old = await listTree(await openFat(readerOf(before)));
    // Between two flushes a disk may keep writes in any order.
    for (const operations of [target.operations, reversedBetweenFlushes(target.operations)]) {
      const cut = Buffer.from(before);
      for (const operation of operations) {
        if (operation === 'flush') continue;
        cut.set(operation.bytes, operation.position);
        const listing = await listTree(await openFat(readerOf(cut)));
        expect(listing).toMatchObject(withoutConfig(old));
        for (const { path, contents } of newFiles) {
          const found = listing[path]?.contents;
          const isOld = found === old[path]?.contents;
          expect(isOld || found === Buffer.from(contents).toString('base64'), path).toBe(true);
        }
      }
      expect(cut.equals(after)).toBe(true);
    }
  });

  it('makes the data durable before the tables, and the tables before the directories', async () => {
    const bytes = await bootFileSystem(smallFat32);
    const { geometry } = await openFat(readerOf(bytes));
    const target = recordingWriter(bytes);
    await writeFatFiles(target, { files: [file('/config.json', 'new')], modified });
    const kinds = target.operations.map((operation) => {
      if (operation === 'flush') return 'flush';
      if (operation.position < geometry.tableStartByte) return 'information';
      return operation.position < geometry.dataStartByte ? 'table' : 'cluster';
    });
    const expected = [
      'cluster',
      'flush',
      'table',
      'table',
      'flush',
      'cluster',
      'flush',
      'table',
      'table',
      'information',
      'flush',
    ];
    expect(kinds).toEqual(expected);
  });

  it('gives a sound file system after any series of writes', async () => {
    const blank = readFileSync(makeFat(directory, { name: '', sizeMib: 1, options: ['-F', '12', '-r', '64'] }));
    const name = fc.constantFrom('a', 'b.txt', 'a long name.conf', 'A LONG name 2.conf', 'Ünïcode', 'x'.repeat(200));
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join('/')}`);
    const write = fc.array(fc.tuple(path, fc.nat(40_000)), { minLength: 1, maxLength: 4 });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 8 }), async (writes) => {
        const bytes = Buffer.from(blank);
        const model = new Map<string, Buffer>();
        for (const entries of writes) {
          const files = entries.map(([filePath, size]) => file(filePath, randomFillSync(Buffer.alloc(size))));
          const before = Buffer.from(bytes);
          try {
            await writeFatFiles(recordingWriter(bytes), { files, modified });
            for (const { path: written, contents } of files) model.set(written.toLowerCase(), Buffer.from(contents));
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(MigrateError);
            expect(bytes.equals(before)).toBe(true);
          }
        }
        const listing = Object.entries(await listTree(await openFat(readerOf(bytes))));
        const found = listing.filter(([, { contents }]) => contents !== 'directory');
        const expected = [...model].map(([filePath, contents]) => [filePath, contents.toString('base64')]);
        expect(found.map(([filePath, { contents }]) => [filePath.toLowerCase(), contents]).sort()).toEqual(
          expected.sort(),
        );
        runs += 1;
        if (runs % 10 === 0) checkWithFsck(save(bytes));
      }),
      { numRuns: 30 },
    );
  });
});

function reversedBetweenFlushes(operations: readonly (RecordedWrite | 'flush')[]): (RecordedWrite | 'flush')[] {
  const reversed: (RecordedWrite | 'flush')[] = [];
  let phase: RecordedWrite[] = [];
  for (const operation of operations) {
    if (operation !== 'flush') phase.unshift(operation);
    else {
      reversed.push(...phase, 'flush');
      phase = [];
    }
  }
  return reversed;
}

type Listed = Awaited<ReturnType<typeof listTree>>;

function withoutConfig({ '/config.json': _, ...others }: Listed): Listed {
  return others;
}

function withoutEmoji(listing: Listed): Listed {
  return Object.fromEntries(Object.entries(listing).filter(([path]) => !path.includes('日本 ')));
}

/** Offsets of the blocks of 512 bytes in which two buffers differ, as far as the first goes. */
function changedSectors(before: Buffer, after: Buffer): number[] {
  const offsets = Array.from({ length: Math.ceil(before.length / 512) }, (_, index) => index * 512);
  return offsets.filter((offset) => {
    const part = before.subarray(offset, offset + 512);
    return after.compare(part, 0, part.length, offset, offset + part.length) !== 0;
  });
}
