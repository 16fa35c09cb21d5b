import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readerOf, windowOf } from '@migrate/core';
import { type FatEntry, type FatVolume, openFat } from '@migrate/image-tools';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillFat, listTree, makeFat, smallFat32 } from './fat-image.ts';

let directory: string;
/** A FAT16, whose table has an entry of two bytes for each cluster of 512. */
let sound: Buffer;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fat-damage-'));
  const tree = join(directory, 'tree');
  for (const name of ['one/inner', 'two']) mkdirSync(join(tree, name), { recursive: true });
  writeFileSync(join(tree, 'large'), Buffer.alloc(5000, 'large'));
  writeFileSync(join(tree, 'small with a long name'), 'small');
  const image = makeFat(directory, { name: '', sizeMib: 3, options: ['-F', '16', '-a', '-s', '1'] });
  fillFat(image, tree);
  sound = readFileSync(image);
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Patient {
  readonly bytes: Buffer;
  readonly volume: FatVolume;
  entry(path: string): Promise<FatEntry>;
  setNext(cluster: number, next: number): void;
}

async function patient(): Promise<Patient> {
  const bytes = Buffer.from(sound);
  const volume = await openFat(readerOf(bytes));
  return {
    bytes,
    volume,
    entry: async (path) => {
      const found = await volume.find(path);
      if (found === undefined) throw new Error(`no ${path}`);
      return found;
    },
    setNext: (cluster, next) => {
      bytes.writeUInt16LE(next, volume.geometry.tableStartByte + cluster * 2);
    },
  };
}

type Damage = (patient: Patient) => Promise<void>;

function pointTo(path: string, target: string): Damage {
  return async ({ bytes, entry }) => {
    bytes.writeUInt16LE((await entry(target)).firstCluster, (await entry(path)).inode + 26);
  };
}

function afterFirstCluster(path: string, next: (first: number) => number): Damage {
  return async ({ entry, setNext }) => {
    const { firstCluster } = await entry(path);
    setNext(firstCluster, next(firstCluster));
  };
}

const damages: readonly (readonly [string, Damage, RegExp])[] = [
  ['a file in a circle of one', afterFirstCluster('/large', (first) => first), /runs in a circle/],
  [
    'a file in a circle of three',
    async ({ entry, setNext }) => {
      const { firstCluster } = await entry('/large');
      setNext(firstCluster + 4, firstCluster + 2);
    },
    /runs in a circle/,
  ],
  ['a file that ends early', afterFirstCluster('/large', () => 0xffff), /ends before its size/],
  ['a file that leads to a free cluster', afterFirstCluster('/large', () => 0), /leads to cluster 0/],
  ['a file that leads out of the file system', afterFirstCluster('/large', () => 0xff00), /leads to cluster 65280/],
  ['a file that leads to a bad cluster', afterFirstCluster('/large', () => 0xfff7), /bad cluster/],
  [
    'a file without clusters',
    async ({ bytes, entry }) => {
      bytes.writeUInt16LE(0, (await entry('/large')).inode + 26);
    },
    /leads to cluster 0/,
  ],
  [
    'a file larger than the file system',
    async ({ bytes, entry }) => {
      bytes.writeUInt32LE(0xffffffff, (await entry('/large')).inode + 28);
    },
    /ends before its size/,
  ],
  ['a directory that does not end', afterFirstCluster('/one', (first) => first), /circle/],
  ['a directory in itself', pointTo('/one/inner', '/one'), /two directories share cluster/],
  ['two names of a directory', pointTo('/two', '/one'), /two directories share cluster/],
  [
    'directories that share their end',
    async ({ entry, setNext }) => {
      setNext((await entry('/one')).firstCluster, (await entry('/two')).firstCluster);
    },
    /two directories share cluster/,
  ],
  [
    'a name with a slash',
    async ({ bytes, entry }) => {
      const { inode } = await entry('/small with a long name');
      // The third unit of the long name, whose first part stands right before the short entry.
      bytes.write('/', inode - 32 + 5, 'latin1');
    },
    /cannot be a name/,
  ],
];

describe('a damaged FAT', () => {
  it.each(damages)('with %s is refused', async (_, damage, message) => {
    const damaged = await patient();
    await damage(damaged);
    const walk = openFat(readerOf(damaged.bytes)).then(async (volume) => {
      // Larger than any file, so that reading is bounded by the chain.
      for (const entry of await volume.list('/')) await volume.open(entry).read(new Uint8Array(6000), 0);
      await listTree(volume);
    });
    await expect(walk).rejects.toMatchObject({ code: 'invalid-input', message: expect.stringMatching(message) });
  });

  it('shows the short name where the long one is broken', async () => {
    const { bytes, entry } = await patient();
    const { inode } = await entry('/small with a long name');
    bytes.writeUInt8(bytes.readUInt8(inode - 32 + 13) ^ 1, inode - 32 + 13);
    const names = (await (await openFat(readerOf(bytes))).list('/')).map(({ text }) => text);
    expect(names).toContain('SMALLW~1');
  });

  it('is refused where its boot sector says more than there is', async () => {
    await expect(openFat(windowOf(readerOf(sound), 0, sound.length - 512))).rejects.toThrow(/claims 3145728 bytes/);
    await expect(openFat(readerOf(sound.subarray(0, 100)))).rejects.toThrow(/no boot sector/);
    for (const [offset, value] of [
      [11, 0],
      [13, 3],
      [14, 0],
      [16, 0],
      [21, 0x12],
      [22, 1],
    ] as const) {
      const bytes = Buffer.from(sound);
      bytes.writeUInt8(value, offset);
      if (offset === 11) bytes.writeUInt16LE(500, offset);
      await expect(openFat(readerOf(bytes)), `byte ${offset}`).rejects.toMatchObject({ code: 'invalid-input' });
    }
  });

  it('is refused as unknown where FAT32 has another version or another table in use', async () => {
    const original = readFileSync(makeFat(directory, smallFat32));
    for (const [offset, value] of [
      [42, 1],
      [40, 0x81],
    ] as const) {
      const bytes = Buffer.from(original);
      bytes.writeUInt16LE(value, offset);
      await expect(openFat(readerOf(bytes))).rejects.toMatchObject({ code: 'unsupported' });
    }
  });
});
