import { randomFillSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readerOf, readFileSystemSignature } from '@migrate/core';
import { openFat } from '@migrate/image-tools';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  checkWithFsck,
  type FatRecipe,
  fatRecipes,
  fillFat,
  listTree,
  listWithMtools,
  makeFat,
  runTool,
  smallFat32,
} from './fat-image.ts';

// Several file systems are made and compared on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const [fat12 = smallFat32] = fatRecipes;
let directory: string;
let tree: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fat-reader-'));
  tree = join(directory, 'tree');
  makeTree(tree);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Names of all kinds, old and far times, an empty file, and a directory of several clusters. */
function makeTree(root: string): void {
  mkdirSync(join(root, 'system-connections'), { recursive: true });
  mkdirSync(join(root, 'EFI/BOOT/Grüße 日本'), { recursive: true });
  const files: Record<string, string | Buffer> = {
    'lower.txt': 'both parts in lower case',
    'lower.EXT': 'base in lower case',
    'UPPER.TXT': 'no lower case',
    'MiXed.Txt': 'long for its case',
    noext: 'no extension',
    'bcm2711-rpi-4-b.dtb': 'several dashes',
    'system-connections/A connection with a long name.ignore': Buffer.alloc(300_000, 'abcdefg'),
    [`system-connections/${'long '.repeat(40)}name`]: 'as long as few are',
    'EFI/BOOT/Grüße 日本/Žižek.conf': 'Unicode',
    'EFI/BOOT/BOOTX64.EFI': Buffer.alloc(70_001, 'efi'),
    empty: '',
  };
  for (const [path, contents] of Object.entries(files)) writeFileSync(join(root, path), contents);
  for (let index = 0; index < 90; index += 1) writeFileSync(join(root, `EFI/file number ${index}.json`), String(index));
  utimesSync(join(root, 'lower.txt'), 0, Date.UTC(1981, 0, 2, 3, 4, 6) / 1000);
  utimesSync(join(root, 'noext'), 0, Date.UTC(2099, 11, 31, 23, 59, 58) / 1000);
}

const made = new Map<FatRecipe, string>();

/** A file system in pieces; made once, and not to be changed. */
function fragmented(recipe: FatRecipe): string {
  const image = made.get(recipe) ?? makeFat(directory, recipe);
  // mtools would not find the root of the small FAT32.
  if (!made.has(recipe) && recipe !== smallFat32) fragment(image);
  made.set(recipe, image);
  return image;
}

/** Fills an image, then deletes and adds, so that chains are in pieces and deleted entries lie about. */
function fragment(image: string): void {
  fillFat(image, tree);
  const deleted = Array.from({ length: 30 }, (_, index) => `::EFI/file number ${index * 3}.json`);
  runTool('mdel', ['-i', image, ...deleted]);
  const large = join(directory, 'large.bin');
  writeFileSync(large, randomFillSync(Buffer.alloc(123_457)));
  runTool('mcopy', ['-m', '-i', image, large, '::EFI/large in pieces.bin']);
  runTool('mattrib', ['-i', image, '+r', '::UPPER.TXT']);
}

describe('openFat', () => {
  it.each(fatRecipes)('reads what mtools reads of $name', async (recipe) => {
    const image = fragmented(recipe);
    const volume = await openFat(readerOf(readFileSync(image)));
    const found = await listTree(volume);
    expect(found).toEqual(listWithMtools(image));
    expect(Object.keys(found)).toContain('/EFI/BOOT/Grüße 日本/Žižek.conf');
    expect(volume.label).toBe('resin-boot');
    const signature = await readFileSystemSignature(readerOf(readFileSync(image)), 0);
    expect(volume.geometry).toMatchObject({
      type: recipe.name.slice(0, 5),
      serial: signature?.uuid,
      bootLabel: 'resin-boot',
    });
    const free = Number(/([\d ]+) bytes free/.exec(runTool('mdir', ['-i', image, '::']))?.[1]?.replaceAll(' ', ''));
    expect((await volume.freeClusters()) * volume.geometry.clusterBytes).toBe(free);
  });

  it.each([...fatRecipes, smallFat32])('knows which bytes make $name', async (recipe) => {
    const image = fragmented(recipe);
    const original = readFileSync(image);
    const volume = await openFat(readerOf(original));
    const ranges = await volume.usedRanges();
    const dirty = randomFillSync(Buffer.alloc(original.length));
    for (const { startByte, endByte } of ranges) original.copy(dirty, startByte, startByte, endByte);
    const copy = join(directory, 'dirty.img');
    writeFileSync(copy, dirty);
    checkWithFsck(copy);
    if (recipe !== smallFat32) expect(listWithMtools(copy)).toEqual(listWithMtools(image));
    expect(await listTree(await openFat(readerOf(dirty)))).toEqual(await listTree(volume));
    expect(ranges.every(({ startByte }, index) => startByte > (ranges[index - 1]?.endByte ?? -1))).toBe(true);
    const used = ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
    const { clusterBytes, clusterCount, dataStartByte } = volume.geometry;
    expect(used).toBe(dataStartByte + (clusterCount - (await volume.freeClusters())) * clusterBytes);
  });

  it('finds files by both of their names, whatever their case', async () => {
    const image = fragmented(fat12);
    const volume = await openFat(readerOf(readFileSync(image)));
    const long = await volume.readFile('/system-connections/a connection with a long name.IGNORE');
    expect(Buffer.from(long).toString()).toBe('abcdefg'.repeat(42858).slice(0, 300_000));
    expect(await volume.find('/SYSTEM~1/aconne~1.ign')).toMatchObject({ sizeBytes: 300_000 });
    expect(await volume.find('/none')).toBeUndefined();
    expect(await volume.find('/lower.txt/none')).toBeUndefined();
    await expect(volume.readFile('/system-connections')).rejects.toMatchObject({ code: 'not-found' });
    await expect(volume.list('/lower.txt')).rejects.toMatchObject({ code: 'not-found' });
    await expect(volume.readFile('/EFI/BOOT/bootx64.efi', 70_000)).rejects.toThrow(/more than 70000/);
  });

  it('gives directories their time, and modes as Linux does', async () => {
    const image = fragmented(fat12);
    const volume = await openFat(readerOf(readFileSync(image)));
    const entries = await volume.list('/');
    const efi = entries.find(({ text }) => text === 'EFI');
    const [, day, minute] = /EFI +<DIR> +(\S+) +(\S+)/.exec(runTool('mdir', ['-i', image, '::'])) ?? [];
    const shown = new Date(Number((efi?.modifiedNs ?? 0n) / 1_000_000n)).toISOString();
    expect(shown.startsWith(`${day}T${minute?.padStart(5, '0')}`)).toBe(true);
    expect(efi).toMatchObject({ kind: 'directory', mode: 0o755, uid: 0, gid: 0 });
    expect(entries.find(({ text }) => text === 'UPPER.TXT')).toMatchObject({ mode: 0o555 });
    expect(entries.find(({ text }) => text === 'lower.txt')).toMatchObject({ mode: 0o755 });
    expect(new Set(entries.map(({ inode }) => inode)).size).toBe(entries.length);
  });

  it('leaves out clusters that are marked bad', async () => {
    const bad = join(directory, 'bad-blocks');
    // In blocks of 1 KiB.
    writeFileSync(bad, '500\n501\n');
    const image = makeFat(directory, { name: '', sizeMib: 2, options: ['-F', '12', '-l', bad] });
    const volume = await openFat(readerOf(readFileSync(image)));
    const { clusterCount } = volume.geometry;
    expect(await volume.freeClusters()).toBeLessThan(clusterCount);
    const ranges = await volume.usedRanges();
    expect(ranges.some(({ startByte, endByte }) => startByte < 502 * 1024 && endByte > 500 * 1024)).toBe(false);
  });
});
