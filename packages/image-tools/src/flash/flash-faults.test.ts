import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type ByteWriter, type Event, type ImageFacts, MigrateError, readerOf } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { type MemoryDisk, memoryDisk } from '../memory-disk.ts';
import { writeCommitSectors } from './commit-sectors.ts';
import { flashImage, readCommitBytes } from './flash-image.ts';
import { differingChunks, verifyAndRepair } from './verify-image.ts';

const chunkBytes = 64 * 1024;
const raw = Buffer.alloc(5 * chunkBytes + 700, 'an image of five chunks and a bit ');
const file = gzipSync(raw);
const image: ImageFacts = {
  path: 'x.img.gz',
  compression: 'gzip',
  fileBytes: file.length,
  fileSha256: '',
  sizeBytes: raw.length,
  chunkBytes,
  chunkSha256: [0, 1, 2, 3, 4, 5].map((index) =>
    createHash('sha256')
      .update(raw.subarray(index * chunkBytes, (index + 1) * chunkBytes))
      .digest('hex'),
  ),
  table: { kind: 'gpt', id: '', partitions: [] },
  kind: 'unknown',
  labels: {},
};
const source = readerOf(file);
const emit = (): void => {};
const ioError = new MigrateError('write-failed', 'I/O error');

/** A disk whose reads of one position fail until it is written again. */
function withBadSector(disk: MemoryDisk, badByte: number, isCurable: boolean): ByteWriter {
  let isBad = true;
  return {
    ...disk,
    read: async (target, position) => {
      if (isBad && position <= badByte && badByte < position + target.length) {
        throw new MigrateError('read-failed', 'I/O error');
      }
      return disk.read(target, position);
    },
    write: async (bytes, position) => {
      if (isCurable && position <= badByte && badByte < position + bytes.length) isBad = false;
      await disk.write(bytes, position);
    },
  };
}

describe('a disk that fails', () => {
  it('is written again where a write failed once', async () => {
    const disk = memoryDisk(raw.length, {
      onWrite: (bytes, _position, count) => {
        if (count === 3) throw ioError;
        return bytes;
      },
    });
    await flashImage({ source, image, target: disk, emit });
    expect(Buffer.from(disk.bytes.subarray(1024)).equals(raw.subarray(1024))).toBe(true);
  });

  it('is given up where a write fails for ever, without a flush that would call it done', async () => {
    const disk = memoryDisk(raw.length, {
      onWrite: (bytes, position) => {
        if (position === 2 * chunkBytes) throw ioError;
        return bytes;
      },
    });
    await expect(flashImage({ source, image, target: disk, emit })).rejects.toMatchObject({ code: 'write-failed' });
    expect(disk.operations).not.toContain('flush');
    expect(disk.operations.filter((operation) => operation.startsWith(`write ${2 * chunkBytes}+`))).toHaveLength(3);
  });

  it('fails where it cannot be flushed', async () => {
    const disk = memoryDisk(raw.length);
    const target = { ...disk, flush: () => Promise.reject(ioError) };
    await expect(flashImage({ source, image, target, emit })).rejects.toBe(ioError);
  });

  it('has its unreadable chunks written again', async () => {
    const disk = withBadSector(memoryDisk(raw.length), 3 * chunkBytes + 5, true);
    await disk.write(raw, 0);
    const broken = withBadSector(memoryDisk(raw.length), 3 * chunkBytes + 5, false);
    await broken.write(raw, 0);
    const commitBytes = await readCommitBytes(source, image);
    expect(await differingChunks({ target: broken, image, commitBytes, emit })).toEqual([3]);
    const notes: Event[] = [];
    const drops: string[] = [];
    const fresh = withBadSector(memoryDisk(raw.length), 3 * chunkBytes + 5, true);
    await flashImage({ source, image, target: { ...fresh, write: async () => {} }, emit });
    await verifyAndRepair({
      source,
      target: fresh,
      image,
      commitBytes,
      emit: (event) => void (event.kind === 'note' && notes.push(event)),
      dropCaches: async () => void drops.push('drop'),
    });
    expect(notes).toHaveLength(1);
    expect(drops).toEqual(['drop', 'drop']);
    await expect(
      verifyAndRepair({ source, target: broken, image, commitBytes, emit, dropCaches: async () => {} }),
    ).rejects.toMatchObject({ code: 'verify-mismatch' });
  });

  it('is found out where it is smaller than it says', async () => {
    // What is written beyond the true size lands at its start again, as on forged cards.
    const trueBytes = 4 * chunkBytes;
    const disk = memoryDisk(trueBytes);
    const forged: ByteWriter = {
      ...disk,
      sizeBytes: 8 * chunkBytes,
      read: (target, position) => disk.read(target, position % trueBytes),
      write: (bytes, position) => disk.write(bytes, position % trueBytes),
    };
    const distinct = Buffer.from(raw);
    for (let index = 0; index < 6; index += 1)
      distinct.fill(index + 1, index * chunkBytes, Math.min((index + 1) * chunkBytes, raw.length));
    const chunkSha256 = [0, 1, 2, 3, 4, 5].map((index) =>
      createHash('sha256')
        .update(distinct.subarray(index * chunkBytes, (index + 1) * chunkBytes))
        .digest('hex'),
    );
    const other = { ...image, chunkSha256 };
    const otherSource = readerOf(gzipSync(distinct));
    await flashImage({ source: otherSource, image: other, target: forged, emit });
    const commitBytes = await readCommitBytes(otherSource, other);
    await expect(
      verifyAndRepair({
        source: otherSource,
        target: forged,
        image: other,
        commitBytes,
        emit,
        dropCaches: async () => {},
      }),
    ).rejects.toMatchObject({ code: 'verify-mismatch' });
  });
});

describe('writeCommitSectors', () => {
  it('reads back from the medium and refuses what it did not keep', async () => {
    const disk = memoryDisk(4096, { onWrite: (bytes, position) => (position === 0 ? bytes.subarray(0, 100) : bytes) });
    const order: string[] = [];
    const commit = writeCommitSectors(disk, raw.subarray(0, 1024), async () => void order.push('drop'));
    await expect(commit).rejects.toMatchObject({ code: 'verify-mismatch' });
    expect(order).toEqual(['drop']);
  });
});
