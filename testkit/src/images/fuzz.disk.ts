// A hundred thousand damaged partition tables and file systems within a minute: each is read or refused, by one kind of error.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FileTree, MigrateError, readerOf, readPartitionTable, type TreeEntry } from '@migrate/core';
import { openExt4, openFat } from '@migrate/image-tools';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fillFat, makeFat } from '../fat/fat-image.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fuzz-'));
  mkdirSync(join(directory, 'tree/inner/deep'), { recursive: true });
  for (let index = 0; index < 10; index += 1)
    writeFileSync(join(directory, `tree/inner/file ${index}`), 'x'.repeat(index * 300));
  writeFileSync(join(directory, 'tree/config.json'), '{}');
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Processor time that all of it may take, so that a loaded machine is no failure. */
const limitSeconds = 60;
let usedSeconds = 0;

interface Target {
  readonly name: string;
  readonly cases: number;
  make(): Buffer;
  /** Where a change means something: [first byte, length]. */
  readonly places: readonly (readonly [number, number])[];
  read(bytes: Buffer): Promise<void>;
}

const kibibyte = 1024;
const targets: readonly Target[] = [
  {
    name: 'MBR',
    cases: 25_000,
    make: () => partitioned('dos'),
    places: [
      [440, 72],
      [2048 * 512 * 3 + 440, 72],
    ],
    read: readTable,
  },
  {
    name: 'GPT',
    cases: 25_000,
    make: () => partitioned('gpt'),
    places: [
      [440, 72],
      [512, 92],
      [1024, 512],
    ],
    read: readTable,
  },
  {
    name: 'FAT12',
    cases: 10_000,
    make: () => fat(1, ['-F', '12', '-r', '64']),
    places: [
      [0, 90],
      [512, 300],
      [3072, 3000],
    ],
    read: readFat,
  },
  {
    name: 'FAT16',
    cases: 10_000,
    make: () => fat(3, ['-F', '16', '-a', '-s', '1', '-r', '64']),
    places: [
      [0, 90],
      [512, 300],
      [24_000, 9000],
    ],
    read: readFat,
  },
  {
    name: 'ext4 without checksums',
    cases: 20_000,
    make: () => ext(['-t', 'ext4', '-O', '^metadata_csum,^64bit']),
    places: [
      [kibibyte, kibibyte],
      [2 * kibibyte, 64],
      [3 * kibibyte, 40 * kibibyte],
    ],
    read: readExt,
  },
  {
    name: 'ext2',
    cases: 10_000,
    make: () => ext(['-t', 'ext2']),
    places: [
      [kibibyte, kibibyte],
      [2 * kibibyte, 64],
      [3 * kibibyte, 40 * kibibyte],
    ],
    read: readExt,
  },
];

describe('damage at random', () => {
  it.each(targets)('$cases times to $name is read or refused', async ({ cases, make, places, read }) => {
    const bytes = make();
    const before = process.cpuUsage();
    const random = generator(Date.now());
    let refused = 0;
    for (let count = 0; count < cases; count += 1) {
      const undo: (readonly [number, number])[] = [];
      for (let change = random(4) + 1; change > 0; change -= 1) {
        const [start = 0, length = 1] = places[random(places.length)] ?? [];
        const at = start + random(length);
        undo.push([at, bytes[at] ?? 0]);
        bytes[at] = random(3) === 0 ? ([0, 1, 0x7f, 0x80, 0xff][random(5)] ?? 0) : random(256);
      }
      try {
        await read(bytes);
      } catch (thrown) {
        refused += 1;
        if (!(thrown instanceof MigrateError)) throw new Error(`changed ${JSON.stringify(undo)}`, { cause: thrown });
      }
      for (const [at, value] of undo.reverse()) bytes[at] = value;
    }
    const { user, system } = process.cpuUsage(before);
    usedSeconds += (user + system) / 1e6;
    // Neither all nor nothing, or the changes would say nothing.
    expect(refused).toBeGreaterThan(cases / 100);
    expect(refused).toBeLessThan(cases);
    await read(bytes);
  });

  it('takes less than a minute in all', () => {
    expect(targets.reduce((sum, { cases }) => sum + cases, 0)).toBe(100_000);
    expect(usedSeconds).toBeGreaterThan(0);
    expect(usedSeconds).toBeLessThan(limitSeconds);
  });
});

/** xorshift32 (Marsaglia, 2003). */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** Without the backup copy of a GPT, which would make good nearly all damage to the first. */
async function readTable(bytes: Buffer): Promise<void> {
  await readPartitionTable(readerOf(bytes), 512, { readsBackup: false });
}

async function readFat(bytes: Buffer): Promise<void> {
  const volume = await openFat(readerOf(bytes));
  await volume.usedRanges();
  await walk(volume);
}

async function readExt(bytes: Buffer): Promise<void> {
  const volume = await openExt4(readerOf(bytes));
  await walk(volume);
  await volume.usedRanges();
}

async function walk(tree: FileTree): Promise<void> {
  let count = 0;
  const visit = async (directoryEntry: TreeEntry): Promise<void> => {
    for (const entry of await tree.children(directoryEntry)) {
      count += 1;
      if (count > 10_000) throw new Error('the walk does not end');
      await tree.extendedAttributes(entry);
      if (entry.kind === 'directory') await visit(entry);
      else if (entry.kind === 'symlink') await tree.linkTarget(entry);
      else if (entry.kind === 'file') await tree.open(entry).read(new Uint8Array(4096), 0);
    }
  };
  await visit(tree.root);
}

function partitioned(label: 'dos' | 'gpt'): Buffer {
  const path = join(directory, label);
  writeFileSync(path, '');
  truncateSync(path, 16 * kibibyte ** 2);
  const logical =
    label === 'dos'
      ? 'start=6144,size=20480,type=5\nstart=8192,size=2048\nstart=12288,size=2048\n'
      : 'start=6144,size=2048\n';
  execFileSync('sfdisk', ['-q', path], {
    input: `label: ${label}\nstart=2048,size=2048\n${logical}`,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  return readFileSync(path);
}

function fat(sizeMib: number, options: readonly string[]): Buffer {
  const path = makeFat(directory, { name: 'fuzz', sizeMib, options });
  fillFat(path, join(directory, 'tree'));
  return readFileSync(path);
}

function ext(options: readonly string[]): Buffer {
  const path = join(directory, 'ext');
  execFileSync(
    'mke2fs',
    ['-q', '-F', '-b', '1024', '-N', '80', ...options, '-d', join(directory, 'tree'), path, '1024k'],
    { stdio: 'pipe' },
  );
  return readFileSync(path);
}
