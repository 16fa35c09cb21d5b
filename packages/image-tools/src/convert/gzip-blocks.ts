// Makes gzip on all processors, as pigz does: blocks are deflated side by side and joined to one deflate stream.
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { constants, deflateRaw } from 'node:zlib';
import { crc32 } from '@migrate/core';

/** Large enough that the seams do not show in the size, small enough that a few of them are nothing. */
const blockBytes = 1024 * 1024;
/** How far back deflate can refer (RFC 1951, section 2). */
const windowBytes = 32 * 1024;
/** Of Node's zlib; each is 256 KiB or less. */
const outputChunkBytes = 256 * 1024;

const zeroBlock = Buffer.alloc(blockBytes);
const deflate = promisify(deflateRaw);

export interface GzipOptions {
  /** 1 to 9, as gzip's; 6 where it is left out. */
  readonly level?: number | undefined;
}

/**
 * A stream as one gzip member (RFC 1952). Each block may refer to the one before, so the file is as small as gzip would make
 * it within a few tenths of a percent. Memory is bounded by the number of processors.
 */
export async function* gzipBlocks(
  stream: AsyncIterable<Uint8Array>,
  { level = 6 }: GzipOptions = {},
): AsyncGenerator<Uint8Array> {
  const inFlight = availableParallelism() + 1;
  const pending: Promise<Buffer>[] = [];
  let zeros: Promise<Buffer> | undefined;
  let crc = 0;
  let sizeBytes = 0;
  let before: Buffer | undefined;
  // ID1 ID2 CM FLG MTIME XFL OS: no name, no time, system unknown; the same image gives the same file.
  yield Buffer.from([0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff]);
  for await (const block of blocksOf(stream)) {
    crc = crc32(block, crc);
    sizeBytes += block.length;
    // Images are zeros for the most part, and those need not be deflated again and again.
    const isZero = block.equals(zeroBlock);
    if (isZero) zeros ??= deflateBlock(block, { level });
    pending.push(isZero && zeros !== undefined ? zeros : deflateBlock(block, { level, before }));
    before = block.subarray(-windowBytes);
    if (pending.length > inFlight) yield await (pending.shift() as Promise<Buffer>);
  }
  for (const block of pending) yield await block;
  // An empty last block (RFC 1951, section 3.2.6), then CRC32 and ISIZE.
  const end = Buffer.from([0x03, 0x00, 0, 0, 0, 0, 0, 0, 0, 0]);
  end.writeUInt32LE(crc, 2);
  end.writeUInt32LE(sizeBytes % 2 ** 32, 6);
  yield end;
}

/** A block ends at a byte and is not the last one, so that others can follow. */
function deflateBlock(
  block: Buffer,
  { level, before }: { level: number; before?: Buffer | undefined },
): Promise<Buffer> {
  const deflated = deflate(block, {
    level,
    finishFlush: constants.Z_SYNC_FLUSH,
    chunkSize: outputChunkBytes,
    ...(before === undefined ? {} : { dictionary: before }),
  });
  // It is waited for in its turn; until then a failure must not count as unhandled.
  deflated.catch(() => {});
  return deflated;
}

/** Cuts a stream into blocks of one size (the last may be shorter), each in memory of its own. */
async function* blocksOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafeSlow(blockBytes);
  let filled = 0;
  for await (const chunk of stream) {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + blockBytes - filled);
      block.set(part, filled);
      filled += part.length;
      offset += part.length;
      if (filled < blockBytes) continue;
      yield block;
      block = Buffer.allocUnsafeSlow(blockBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}
