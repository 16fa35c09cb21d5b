// Volumes that we lay out, judged by fsck.vfat and mtools, and read by our own reader.
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFat } from '../fat/fat-reader.ts';
import { layOutFatVolume, type VolumeFile } from './fat-volume.ts';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'fat-volume-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** Each file is filled with its own name. */
function contentsOf({ path, sizeBytes }: VolumeFile): Buffer {
  return Buffer.alloc(sizeBytes, `${path}\n`);
}

async function write(name: string, files: readonly VolumeFile[], startSector = 2048): Promise<string> {
  const volume = layOutFatVolume({
    files,
    serial: 'BA1E-0A05',
    label: 'LIFEBOAT',
    time: new Date('2026-01-02T03:04:06Z'),
  });
  const image = join(work, name);
  const file = await open(image, 'w');
  await file.truncate(volume.sizeBytes);
  for (const { startByte, bytes } of volume.metadata(startSector)) await file.write(bytes, 0, bytes.length, startByte);
  for (const entry of files) {
    const bytes = contentsOf(entry);
    if (bytes.length > 0) await file.write(bytes, 0, bytes.length, volume.startOf(entry.path));
  }
  await file.close();
  return image;
}

const many = Array.from({ length: 300 }, (_, index) => ({
  path: `runtime/lib/a rather long name of library number ${index}.so.${index}`,
  sizeBytes: index * 7,
}));

const shapes: Record<string, readonly VolumeFile[]> = {
  'no file': [],
  'few small files': [
    { path: 'plan.json', sizeBytes: 100 },
    { path: 'EFI/BOOT/BOOTX64.EFI', sizeBytes: 70_000 },
    { path: 'empty', sizeBytes: 0 },
  ],
  'a directory of many clusters': many,
  'files above the size of a cluster': [
    { path: 'runtime/libstdc++.so.6', sizeBytes: 3_000_001 },
    { path: 'runtime/libstdc++.so.7', sizeBytes: 4096 },
    { path: 'app/stage2.js', sizeBytes: 512 },
  ],
};

describe.each(Object.entries(shapes))('a volume with %s', (name, files) => {
  it('is sound to fsck.vfat, and FAT32', async () => {
    const image = await write(name, files);
    expect(execFileSync('fsck.vfat', ['-n', '-v', image]).toString()).toMatch(/2 FATs, 32 bit entries/);
    const described = execFileSync('blkid', ['-p', '-o', 'export', image]).toString();
    expect(described).toContain('LABEL=LIFEBOAT\n');
    expect(described).toContain('UUID=BA1E-0A05\n');
  });

  it('has the files that mtools reads', async () => {
    const image = await write(name, files);
    for (const entry of files.slice(0, 20)) {
      const found = execFileSync('mtype', ['-i', image, `::${entry.path}`], { maxBuffer: 8_000_000 });
      expect(found.equals(contentsOf(entry))).toBe(true);
    }
  });

  it('has every file for our own reader', async () => {
    const image = await write(name, files);
    const reader = await createNodeHost().openRead(image);
    const volume = await openFat(reader);
    for (const entry of files) {
      let node = volume.root;
      for (const part of entry.path.split('/')) {
        const child = (await volume.children(node)).find(({ text }) => text === part);
        if (child === undefined) throw new Error(`${entry.path} is missing`);
        node = child;
      }
      const found = Buffer.alloc(entry.sizeBytes);
      if (found.length > 0) await volume.open(node).read(found, 0);
      expect(found.equals(contentsOf(entry))).toBe(true);
    }
    await reader.close();
  });
});

describe('a volume', () => {
  it('says in its boot sector where it begins', async () => {
    const image = await write('hidden', [], 123_456);
    expect((await readFile(image)).readUInt32LE(28)).toBe(123_456);
  });

  it.each([
    ['a name that cannot be', [{ path: 'a:b', sizeBytes: 1 }]],
    [
      'two names that are one to FAT',
      [
        { path: 'a', sizeBytes: 1 },
        { path: 'A', sizeBytes: 1 },
      ],
    ],
    ['a file above 4 GiB', [{ path: 'image', sizeBytes: 2 ** 32 }]],
  ])('is refused with %s', (_, files) => {
    expect(() => layOutFatVolume({ files, serial: 'BA1E-0A05', label: 'X', time: new Date(0) })).toThrow(
      /cannot be a name|are one to FAT|at most 4294967295/,
    );
  });
});
