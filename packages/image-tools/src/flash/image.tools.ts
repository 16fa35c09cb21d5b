import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  type ByteRange,
  createNodeHost,
  type Event,
  type ImageFacts,
  MigrateError,
  readerOf,
  writtenBytes,
  writtenRanges,
} from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeUsedMap } from '../map/make-used-map.ts';
import { firstUncovered } from '../map/ranges.ts';
import { usedMapPath } from '../map/used-map-file.ts';
import { memoryDisk } from '../memory-disk.ts';
import { forwardReader } from '../open/forward-reader.ts';
import { readImageBytes } from '../open/inflate-image.ts';
import { chunksOf } from './chunks.ts';
import { commitRange, wipeOldTables, writeCommitSectors } from './commit-sectors.ts';
import { flashImage, readCommitBytes } from './flash-image.ts';
import { proveImage } from './prove-image.ts';
import { differingChunks, verifyAndRepair } from './verify-image.ts';

const mebibyte = 1024 * 1024;
const host = createNodeHost();
const emit = (): void => {};
let directory: string;
/** A small balenaOS-shaped image of an odd size: 19 MiB, 3 sectors and 7 bytes. */
let raw: Buffer;
let path: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'image-'));
  raw = makeImage({
    deviceType: 'intel-nuc',
    labels: ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'],
  });
  path = save('good.img.gz', gzipSync(raw));
});
afterAll(() => rmSync(directory, { recursive: true }));

function save(name: string, bytes: Uint8Array): string {
  const file = join(directory, name);
  writeFileSync(file, bytes);
  return file;
}

function makeImage({
  deviceType,
  labels,
  table = 'gpt',
}: {
  deviceType: string;
  labels: readonly string[];
  table?: 'gpt' | 'dos';
}): Buffer {
  const work = mkdtempSync(join(directory, 'make-'));
  const image = join(work, 'disk.img');
  const descriptor = openSync(image, 'w+');
  ftruncateSync(descriptor, 19 * mebibyte + 3 * 512 + 7);
  const starts = labels.map((_, index) => 1 + index * 3 + (table === 'dos' && index >= 3 ? 1 : 0));
  const lines = labels.map(
    (label, index) => `start=${(starts[index] ?? 0) * 2048},size=4096${table === 'gpt' ? `,name=${label}` : ''}`,
  );
  const extended = table === 'dos' ? [`start=${10 * 2048},size=${8 * 2048},type=5`] : [];
  execFileSync('sfdisk', ['-q', '--force', image], {
    input: [`label: ${table}`, ...lines.slice(0, 3), ...extended, ...lines.slice(3), ''].join('\n'),
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  labels.forEach((label, index) => {
    const part = join(work, label);
    const size = openSync(part, 'w');
    ftruncateSync(size, 2 * mebibyte);
    closeSync(size);
    if (index === 0) {
      execFileSync('mkfs.vfat', ['-n', label, part], { stdio: 'ignore' });
      writeFileSync(join(work, 'device-type.json'), JSON.stringify({ slug: deviceType }));
      writeFileSync(join(work, 'os-release'), 'VERSION="5.1.20"\n');
      execFileSync('mcopy', ['-i', part, join(work, 'device-type.json'), join(work, 'os-release'), '::']);
    } else {
      execFileSync('mkfs.ext4', ['-q', '-F', '-L', label, part], { stdio: 'ignore' });
    }
    writeSync(descriptor, readFileSync(part), 0, 2 * mebibyte, (starts[index] ?? 0) * mebibyte);
  });
  closeSync(descriptor);
  const bytes = readFileSync(image);
  rmSync(work, { recursive: true });
  // Something in the odd bytes at the end.
  bytes.fill(0x5a, bytes.length - 7);
  return bytes;
}

function prove(file: string): Promise<ImageFacts> {
  return proveImage({ host, path: file, emit });
}

describe('proveImage', () => {
  it('tells what the image is, and hashes file and chunks as sha256sum would', async () => {
    const facts = await prove(path);
    expect(facts).toMatchObject({
      compression: 'gzip',
      sizeBytes: raw.length,
      kind: 'balena-raw',
      deviceType: 'intel-nuc',
      version: '5.1.20',
    });
    expect(facts.labels).toEqual({
      'resin-boot': 0,
      'resin-rootA': 1,
      'resin-rootB': 2,
      'resin-state': 3,
      'resin-data': 4,
    });
    expect(facts.fileSha256).toBe(execFileSync('sha256sum', [path]).toString().slice(0, 64));
    const expected = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18].map((mib) =>
      createHash('sha256')
        .update(raw.subarray(mib * mebibyte, (mib + 2) * mebibyte))
        .digest('hex'),
    );
    expect(facts.chunkSha256).toEqual(expected);
  });

  it('reads raw images and those of several gzip members alike', async () => {
    const { chunkSha256 } = await prove(path);
    expect((await prove(save('raw.img', raw))).chunkSha256).toEqual(chunkSha256);
    const members = Buffer.concat([gzipSync(raw.subarray(0, 5_000_000)), gzipSync(raw.subarray(5_000_000))]);
    expect((await prove(save('members.img.gz', members))).chunkSha256).toEqual(chunkSha256);
  });

  it('finds the labels behind the extended partition of an MBR', async () => {
    const image = makeImage({
      deviceType: 'intel-nuc',
      table: 'dos',
      labels: ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'],
    });
    const facts = await prove(save('mbr.img.gz', gzipSync(image)));
    expect(facts.kind).toBe('balena-raw');
    expect(facts.table.partitions[facts.labels['resin-data'] ?? 0]).toMatchObject({
      number: 6,
      startByte: 14 * mebibyte,
    });
  });

  it('knows a flasher image', async () => {
    const image = makeImage({
      deviceType: 'intel-nuc',
      labels: ['flash-boot', 'flash-rootA', 'flash-rootB', 'flash-state', 'flash-data'],
    });
    expect((await prove(save('flasher.img.gz', gzipSync(image)))).kind).toBe('balena-flasher');
  });

  it('compares with the hash that was expected, old kinds too', async () => {
    for (const algorithm of ['sha256', 'sha1', 'md5'] as const) {
      const digest = createHash(algorithm).update(readFileSync(path)).digest('hex');
      expect((await proveImage({ host, path, emit, expectedHash: { algorithm, digest } })).sizeBytes).toBe(raw.length);
      const wrong = digest.replace(/^./, (first) => (first === '0' ? '1' : '0'));
      await expect(proveImage({ host, path, emit, expectedHash: { algorithm, digest: wrong } })).rejects.toMatchObject({
        code: 'verify-mismatch',
      });
    }
  });

  it('refuses a file that is cut, at many places', async () => {
    const compressed = readFileSync(path);
    for (let part = 0; part < 20; part += 1) {
      const cut = save('cut.img.gz', compressed.subarray(0, Math.floor((compressed.length * part) / 20)));
      await expect(prove(cut), `${part}/20`).rejects.toBeInstanceOf(MigrateError);
    }
    await expect(prove(save('cut.img.gz', compressed.subarray(0, -1)))).rejects.toMatchObject({
      code: 'invalid-input',
    });
  });

  it('refuses a file with one byte flipped, at many places', async () => {
    const compressed = readFileSync(path);
    const sound = await prove(path);
    let refused = 0;
    for (let part = 1; part < 40; part += 1) {
      const bytes = Buffer.from(compressed);
      const at = Math.floor((bytes.length * part) / 40);
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      try {
        const facts = await prove(save('flipped.img.gz', bytes));
        // Deflate has bits that say nothing, such as those before a stored block; then the image must be the same.
        expect(facts.chunkSha256, `byte ${at}`).toEqual(sound.chunkSha256);
      } catch (thrown) {
        expect(thrown, `byte ${at}`).toBeInstanceOf(MigrateError);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(36);
  });

  it('refuses rubbish behind the image', async () => {
    await expect(
      prove(save('trailing.img.gz', Buffer.concat([readFileSync(path), Buffer.from('rubbish')]))),
    ).rejects.toBeInstanceOf(MigrateError);
  });

  it('names other formats and their cure', async () => {
    for (const [name, command] of [
      ['xz', 'xz'],
      ['bzip2', 'bzip2'],
    ] as const) {
      const bytes =
        command === 'bzip2' ? Buffer.from('BZh9') : execFileSync(command, ['-c'], { input: raw.subarray(0, 4096) });
      await expect(prove(save(`image.${name}`, bytes))).rejects.toThrow(
        new RegExp(`packed as ${name}; images must be raw, gzip or zstd`),
      );
    }
    await expect(prove(save('empty', Buffer.alloc(0)))).rejects.toThrow(/no partition table/);
    await expect(prove(save('text.img', Buffer.alloc(mebibyte, 'text')))).rejects.toThrow(/no partition table/);
  });
});

describe('an image packed with zstd', () => {
  const zst = (): string => {
    const packed = execFileSync('zstd', ['-q', '-12', '-c'], { input: raw, maxBuffer: 256 * mebibyte });
    return save('image.img.zst', packed);
  };

  it('is proven, flashed and read back as the same image packed with gzip', async () => {
    const file = zst();
    const facts = await proveImage({ host, path: file, emit, usedBlocks: 'find' });
    const { path: _, compression, fileBytes, fileSha256, ...same } = facts;
    expect(await proveImage({ host, path, emit, usedBlocks: 'find' })).toMatchObject(same);
    expect(compression).toBe('zstd');
    expect(fileSha256).toBe(createHash('sha256').update(readFileSync(file)).digest('hex'));
    expect(fileBytes).toBe(readFileSync(file).length);
    const target = memoryDisk(raw.length + mebibyte);
    const source = await host.openRead(file);
    await wipeOldTables(target, facts);
    await flashImage({ source, host, image: facts, target, emit });
    const commitBytes = await readCommitBytes(source, facts, host);
    expect(commitBytes).toEqual(raw.subarray(0, commitBytes.length));
    expect(await differingChunks({ target, image: facts, commitBytes, emit })).toEqual([]);
    await source.close();
  });

  it('is refused where it is cut, changed, or asks for much memory', async () => {
    const bytes = readFileSync(zst());
    await expect(prove(save('cut.zst', bytes.subarray(0, bytes.length - 100)))).rejects.toMatchObject({
      code: 'invalid-input',
    });
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    await expect(prove(save('changed.zst', changed))).rejects.toMatchObject({ code: 'invalid-input' });
    const large = execFileSync('zstd', ['-q', '--long=27', '-c'], { input: Buffer.alloc(200 * mebibyte) });
    await expect(prove(save('large.zst', large))).rejects.toBeInstanceOf(MigrateError);
  });
});

describe('proveImage that finds used blocks', () => {
  const find = (file: string) => proveImage({ host, path: file, emit, usedBlocks: 'find' });

  it('gives the same for a packed and a plain image, and hashes just what is used', async () => {
    const packed = await find(path);
    expect(packed.usedBlocks?.wholePartitions).toEqual([]);
    expect(writtenBytes(packed)).toBeLessThan(raw.length - 2 * mebibyte);
    expect(writtenRanges(packed).at(-1)?.endByte).toBe(raw.length);
    const hash = ({ startByte, endByte }: ByteRange): string =>
      createHash('sha256').update(raw.subarray(startByte, endByte)).digest('hex');
    expect(packed.chunkSha256).toEqual(chunksOf(packed).map(hash));
    const plain = await find(save('plain.img', raw));
    expect([plain.usedBlocks, plain.chunkSha256]).toEqual([packed.usedBlocks, packed.chunkSha256]);
  });

  it('finds the same again, as stage 2 asks', async () => {
    const { usedBlocks, ...facts } = await find(path);
    if (usedBlocks === undefined) throw new Error('none were found');
    expect(await proveImage({ host, path, emit, usedBlocks })).toEqual({ ...facts, usedBlocks });
    const [first, ...rest] = usedBlocks.ranges;
    const fewer = { ...usedBlocks, ranges: rest };
    await expect(proveImage({ host, path, emit, usedBlocks: fewer })).rejects.toMatchObject({ code: 'wrong-image' });
    const wider = { ...usedBlocks, ranges: [{ startByte: 0, endByte: Number.MAX_SAFE_INTEGER }] };
    expect((await proveImage({ host, path, emit, usedBlocks: wider })).chunkSha256).toEqual(
      (await prove(path)).chunkSha256,
    );
    expect(first?.startByte).toBe(0);
  });

  it('reads the image once where a map lies beside it, and refuses one that is wrong', async () => {
    const copy = save('mapped.img.gz', readFileSync(path));
    const facts = await makeUsedMap(host, copy, emit);
    const texts = new Set<string>();
    const note = (event: Event): void => void (event.kind === 'progress' && texts.add(event.text));
    expect(await proveImage({ host, path: copy, emit: note, usedBlocks: 'find' })).toEqual(facts);
    expect([...texts]).toEqual(['proving the image']);
    const map = readFileSync(usedMapPath(copy), 'utf8');
    const digest = facts.chunkSha256[3] ?? '';
    const other = map.replace(
      digest,
      digest.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
    );
    for (const wrong of [other, map.replace(facts.fileSha256, 'f'.repeat(64))]) {
      writeFileSync(usedMapPath(copy), wrong);
      await expect(find(copy)).rejects.toThrow(/usedmap\.json belongs to another image than .*remove the map/);
    }
    expect(await makeUsedMap(host, copy, emit)).toEqual(facts);
    expect(readFileSync(usedMapPath(copy), 'utf8')).toBe(map);
  });

  it('counts a partition whose file system was damaged as used from end to end', async () => {
    const damaged = Buffer.from(raw);
    // The block bitmap of resin-state no longer fits its checksum: any byte of group 0's first blocks will do.
    for (let block = 1; block < 40; block += 1)
      damaged.fill(0x77, 10 * mebibyte + block * 1024, 10 * mebibyte + block * 1024 + 4);
    const facts = await find(save('damaged.img.gz', gzipSync(damaged)));
    expect(facts.usedBlocks?.wholePartitions).toEqual([{ number: 4, why: expect.any(String) }]);
    const whole = { startByte: 10 * mebibyte, endByte: 12 * mebibyte };
    expect(firstUncovered(writtenRanges(facts), [whole])).toBeUndefined();
  });
});

describe('forwardReader', () => {
  it('gives the same bytes as the file, in any order', async () => {
    const source = readerOf(gzipSync(raw));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(raw.length + 1000), fc.nat(100_000)), { maxLength: 6 }),
        async (reads) => {
          const reader = forwardReader(source, { path: 'x', compression: 'gzip' });
          for (const [position, length] of reads) {
            const target = Buffer.alloc(length);
            const count = await reader.read(target, position);
            expect(target.subarray(0, count).equals(raw.subarray(position, position + length))).toBe(true);
          }
          await reader.close();
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('flashing', () => {
  const source = () => readerOf(readFileSync(path));

  it('writes the image exactly, its first sectors last, and not a byte behind it', async () => {
    const image = await prove(path);
    const disk = memoryDisk(40 * mebibyte);
    await wipeOldTables(disk, image);
    await flashImage({ source: source(), image, target: disk, emit });
    expect(Buffer.from(disk.bytes.subarray(1024, raw.length)).equals(raw.subarray(1024))).toBe(true);
    expect(disk.bytes.subarray(0, 1024).every((byte) => byte === 0)).toBe(true);
    const commitBytes = await readCommitBytes(source(), image);
    expect(await differingChunks({ target: disk, image, commitBytes, emit })).toEqual([]);
    const before = disk.operations.length;
    await writeCommitSectors(disk, commitBytes);
    expect(disk.operations.slice(before)).toEqual(['write 512+512', 'flush', 'write 0+512', 'flush']);
    expect(Buffer.from(disk.bytes.subarray(0, raw.length)).equals(raw)).toBe(true);
    const behind = disk.bytes.subarray(raw.length, disk.bytes.length - mebibyte);
    expect(behind.every((byte) => byte === 0xaa)).toBe(true);
    expect(disk.bytes.subarray(-mebibyte).every((byte) => byte === 0)).toBe(true);
  });

  it('wipes the backup table before the first sectors, each durable before the next', async () => {
    const disk = memoryDisk(40 * mebibyte);
    await wipeOldTables(disk, await prove(path));
    expect(disk.operations).toEqual([`write ${39 * mebibyte}+${mebibyte}`, 'flush', 'write 0+1024', 'flush']);
  });

  it('withholds one sector of an MBR image, two of a GPT image', () => {
    const table = { id: '', partitions: [] };
    expect(commitRange({ ...table, kind: 'mbr' })).toEqual({ startByte: 0, endByte: 512 });
    expect(commitRange({ ...table, kind: 'gpt' })).toEqual({ startByte: 0, endByte: 1024 });
  });

  it('repairs a disk that dropped, changed or misplaced writes once', async () => {
    const image = await prove(path);
    for (const spoil of [
      (bytes: Uint8Array) => bytes.subarray(0, 100),
      (bytes: Uint8Array) => Uint8Array.from(bytes).fill(1, 5000, 5001),
      () => undefined,
    ]) {
      const disk = memoryDisk(20 * mebibyte, {
        onWrite: (bytes, _position, count) => (count === 3 ? spoil(bytes) : bytes),
      });
      await flashImage({ source: source(), image, target: disk, emit });
      const commitBytes = await readCommitBytes(source(), image);
      expect(await differingChunks({ target: disk, image, commitBytes, emit })).toHaveLength(1);
      await verifyAndRepair({ source: source(), target: disk, image, commitBytes, emit, dropCaches: async () => {} });
      expect(Buffer.from(disk.bytes.subarray(1024, raw.length)).equals(raw.subarray(1024))).toBe(true);
    }
  });

  it('gives up on a disk that keeps lying, and says where', async () => {
    const image = await prove(path);
    const disk = memoryDisk(20 * mebibyte, {
      onWrite: (bytes, position) => (position === 8 * mebibyte ? undefined : bytes),
    });
    await flashImage({ source: source(), image, target: disk, emit });
    const commitBytes = await readCommitBytes(source(), image);
    const repair = verifyAndRepair({
      source: source(),
      target: disk,
      image,
      commitBytes,
      emit,
      dropCaches: async () => {},
    });
    await expect(repair).rejects.toThrow(/1 of 10 chunks differ, at 8 MiB/);
  });

  it('stops at a write error', async () => {
    const image = await prove(path);
    const disk = memoryDisk(20 * mebibyte, {
      onWrite: () => {
        throw new MigrateError('write-failed', 'I/O error');
      },
    });
    await expect(flashImage({ source: source(), image, target: disk, emit })).rejects.toThrow('I/O error');
  });

  it('refuses a disk that is one byte too small, and an image that is not the proven one', async () => {
    const image = await prove(path);
    await expect(
      flashImage({ source: source(), image, target: memoryDisk(raw.length - 1), emit }),
    ).rejects.toMatchObject({ code: 'no-space' });
    const other = readerOf(gzipSync(raw.subarray(0, -1)));
    await expect(flashImage({ source: other, image, target: memoryDisk(20 * mebibyte), emit })).rejects.toMatchObject({
      code: 'wrong-image',
    });
  });
});

describe('inflate', () => {
  it('gives what gzip -dc gives', async () => {
    const parts: Uint8Array[] = [];
    for await (const bytes of readImageBytes(readerOf(readFileSync(path)), { path, compression: 'gzip' }))
      parts.push(bytes);
    expect(Buffer.concat(parts).equals(execFileSync('gzip', ['-dc', path], { maxBuffer: 64 * mebibyte }))).toBe(true);
  });
});
