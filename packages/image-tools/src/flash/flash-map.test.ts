// Flashing used blocks only: what is used arrives, what is not stays as it was.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import {
  type ByteRange,
  type ByteWriter,
  type Event,
  type ImageFacts,
  MigrateError,
  readerOf,
  writtenBytes,
} from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { mergeRanges, rangesBetween } from '../map/ranges.ts';
import { type DiskFaults, type MemoryDisk, memoryDisk } from '../memory-disk.ts';
import { chunksOf } from './chunks.ts';
import { writeCommitSectors } from './commit-sectors.ts';
import { flashImage, readCommitBytes } from './flash-image.ts';
import { differingChunks, verifyAndRepair } from './verify-image.ts';

// Inflating takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const chunkBytes = 4096;
const sizeBytes = 40 * chunkBytes + 700;
/** Each 512 bytes differ from all others. */
const raw = Buffer.alloc(sizeBytes);
for (let offset = 0; offset < sizeBytes; offset += 4)
  raw.writeUInt32LE(offset ^ 0x5a5a5a5a, Math.min(offset, sizeBytes - 4));
const source = readerOf(gzipSync(raw));
const emit = (): void => {};

function factsOf(ranges: readonly ByteRange[]): ImageFacts {
  const place = { sizeBytes, chunkBytes, usedBlocks: { ranges, wholePartitions: [] } };
  return {
    ...place,
    path: 'x.img.gz',
    compression: 'gzip',
    fileBytes: source.sizeBytes,
    fileSha256: '',
    chunkSha256: chunksOf(place).map(({ startByte, endByte }) =>
      createHash('sha256').update(raw.subarray(startByte, endByte)).digest('hex'),
    ),
    table: { kind: 'gpt', id: '', partitions: [] },
    kind: 'unknown',
    labels: {},
  };
}

/** Used ranges in order that begin with the first sectors. */
const anyUsed = fc
  .array(fc.tuple(fc.nat(sizeBytes), fc.integer({ min: 1, max: 4 * chunkBytes })), { maxLength: 12 })
  .map((parts) =>
    mergeRanges([
      { startByte: 0, endByte: 2048 },
      ...parts.map(([startByte, length]) => ({ startByte, endByte: Math.min(startByte + length, sizeBytes) })),
    ]),
  );

async function flashAll(image: ImageFacts, target: ByteWriter, dropCaches = async () => {}): Promise<void> {
  const commitBytes = await readCommitBytes(source, image);
  await flashImage({ source, image, target, emit });
  await verifyAndRepair({ source, target, image, commitBytes, emit, dropCaches });
  await writeCommitSectors(target, commitBytes);
}

function expectFlashed(disk: MemoryDisk, ranges: readonly ByteRange[]): void {
  for (const { startByte, endByte } of ranges) {
    expect(raw.subarray(startByte, endByte).equals(disk.bytes.subarray(startByte, endByte))).toBe(true);
  }
  for (const { startByte, endByte } of rangesBetween(ranges, { startByte: 0, endByte: disk.sizeBytes })) {
    expect(disk.bytes.subarray(startByte, endByte).every((byte) => byte === 0xaa)).toBe(true);
  }
}

describe('flashing with a used-block map', () => {
  it('writes what is used and nothing else, whatever is used', async () => {
    await fc.assert(
      fc.asyncProperty(anyUsed, async (ranges) => {
        const disk = memoryDisk(sizeBytes + 3 * chunkBytes);
        await flashAll(factsOf(ranges), disk);
        expectFlashed(disk, ranges);
      }),
      { numRuns: 60 },
    );
  });

  it('counts as progress what is written, each byte once', async () => {
    const image = factsOf([
      { startByte: 0, endByte: 6000 },
      { startByte: 50_000, endByte: 50_512 },
    ]);
    const seen: Extract<Event, { kind: 'progress' }>[] = [];
    const note = (event: Event): void => void (event.kind === 'progress' && seen.push(event));
    const disk = memoryDisk(sizeBytes);
    await flashImage({ source, image, target: disk, emit: note });
    expect(seen.map(({ done }) => done)).toEqual([4096, 6000, 6512]);
    expect(seen.every(({ total }) => total === writtenBytes(image))).toBe(true);
    expect(disk.operations).toEqual(['write 1024+3072', 'write 4096+1904', 'write 50000+512', 'flush']);
  });

  it('verifies what is used and nothing else', async () => {
    const used = anyUsed.chain((ranges) =>
      fc.tuple(fc.constant(ranges), fc.integer({ min: 1024, max: sizeBytes - 1 })),
    );
    await fc.assert(
      fc.asyncProperty(used, async ([ranges, place]) => {
        const image = factsOf(ranges);
        const disk = memoryDisk(sizeBytes);
        await flashImage({ source, image, target: disk, emit });
        disk.bytes[place] = (disk.bytes[place] ?? 0) ^ 1;
        const commitBytes = await readCommitBytes(source, image);
        const expected = chunksOf(image).flatMap(({ startByte, endByte }, index) =>
          startByte <= place && place < endByte ? [index] : [],
        );
        expect(await differingChunks({ target: disk, image, commitBytes, emit })).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  it('repairs any write that was dropped, cut or changed, and touches nothing else', async () => {
    const spoils: readonly ((bytes: Uint8Array) => Uint8Array | undefined)[] = [
      () => undefined,
      (bytes) => bytes.subarray(0, bytes.length >> 1),
      (bytes) => Uint8Array.from(bytes, (byte) => byte ^ 0xff),
    ];
    await fc.assert(
      fc.asyncProperty(anyUsed, fc.nat(30), fc.constantFrom(...spoils), async (ranges, at, spoil) => {
        const onWrite: DiskFaults['onWrite'] = (bytes, _position, count) => (count === at ? spoil(bytes) : bytes);
        const disk = memoryDisk(sizeBytes, { onWrite });
        const image = factsOf(ranges);
        const commitBytes = await readCommitBytes(source, image);
        await flashImage({ source, image, target: disk, emit });
        await verifyAndRepair({ source, target: disk, image, commitBytes, emit, dropCaches: async () => {} });
        disk.bytes.set(commitBytes, 0);
        expectFlashed(disk, ranges);
      }),
      { numRuns: 40 },
    );
  });

  it('writes again where a write or a read failed once, and gives up where it fails for ever', async () => {
    const ranges = [
      { startByte: 0, endByte: 9000 },
      { startByte: 60_000, endByte: 80_000 },
    ];
    const image = factsOf(ranges);
    const ioError = new MigrateError('write-failed', 'I/O error');
    const failing = (mayFail: (count: number) => boolean): MemoryDisk =>
      memoryDisk(sizeBytes, {
        onWrite: (bytes, position, count) => {
          if (position >= 60_000 && mayFail(count)) throw ioError;
          return bytes;
        },
      });
    const once = failing((count) => count === 5);
    await flashAll(image, once);
    expectFlashed(once, ranges);
    await expect(
      flashAll(
        image,
        failing(() => true),
      ),
    ).rejects.toBe(ioError);

    let readFailures = 1;
    const disk = memoryDisk(sizeBytes);
    const read: ByteWriter['read'] = async (target, position) => {
      if (position === 60_000 && readFailures-- > 0) throw new MigrateError('read-failed', 'I/O error');
      return disk.read(target, position);
    };
    await flashAll(image, { ...disk, read });
    expectFlashed(disk, ranges);
    const dead: ByteWriter = { ...disk, read: () => Promise.reject(new MigrateError('read-failed', 'I/O error')) };
    await expect(flashAll(image, dead)).rejects.toThrow(
      /does not keep what is written to it: 9 of 9 chunks differ, at 0 MiB/,
    );
  });

  it('has two reads on their way while it verifies, and waits for them when one ends all', async () => {
    const image = factsOf([{ startByte: 0, endByte: sizeBytes }]);
    const disk = memoryDisk(sizeBytes);
    await flashImage({ source, image, target: disk, emit });
    const commitBytes = await readCommitBytes(source, image);
    let running = 0;
    let most = 0;
    const slow = (fails: boolean): ByteWriter => ({
      ...disk,
      read: async (target, position) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 1));
        running -= 1;
        if (fails && position > 0) throw new Error('a bug');
        return disk.read(target, position);
      },
    });
    expect(await differingChunks({ target: slow(false), image, commitBytes, emit })).toEqual([]);
    expect(most).toBe(2);
    await expect(differingChunks({ target: slow(true), image, commitBytes, emit })).rejects.toThrow('a bug');
    expect(running).toBe(0);
  });

  it('tells another image by its size', async () => {
    const image = factsOf([{ startByte: 0, endByte: 2048 }]);
    for (const other of [raw.subarray(0, -1), Buffer.concat([raw, Buffer.alloc(1)])]) {
      const flash = flashImage({ source: readerOf(gzipSync(other)), image, target: memoryDisk(sizeBytes * 2), emit });
      await expect(flash).rejects.toMatchObject({ code: 'wrong-image' });
    }
  });
});
