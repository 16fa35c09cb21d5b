// One gzip member made by several threads, as pigz does it: blocks are deflated side by side on libuv's threads, each with the end
// of the block before as its dictionary, so that the result is nearly as small as from one thread and any gunzip reads it.
import { constants, deflateRaw } from 'node:zlib';
import { crc32 } from '@migrate/core';

export interface GzipOptions {
  /** 1 (fast) to 9 (small); gzip's own default is 6. */
  readonly level?: number;
}

const blockBytes = 256 * 1024;
/** The window of deflate: RFC 1951, section 2. */
const windowBytes = 32 * 1024;
/** Enough to keep libuv's four threads busy while the head of the line is waited for. */
const blocksInFlight = 6;
/** RFC 1952, section 2.3: no name, no time, so that the same input gives the same bytes; made on Unix. */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
/** A last block of deflate without contents, which ends the stream behind blocks that each end at a byte. */
const emptyLastBlock = Buffer.from([0x03, 0x00]);

/** Compresses a stream; memory is bounded by a few blocks. Where the receiver stops early, so does the source. */
export async function* gzipStream(
  source: AsyncIterable<Uint8Array>,
  { level = 6 }: GzipOptions = {},
): AsyncGenerator<Uint8Array> {
  const inFlight: Promise<Buffer>[] = [];
  let dictionary: Buffer | undefined;
  let crc = 0;
  let sizeBytes = 0;
  yield header;
  for await (const block of blocksOf(source)) {
    crc = crc32(block, crc);
    sizeBytes += block.length;
    const deflated = deflate(block, { level, ...(dictionary === undefined ? {} : { dictionary }) });
    // It is awaited in its turn; a failure before that must not count as unhandled.
    deflated.catch(() => {});
    inFlight.push(deflated);
    dictionary = block.subarray(-windowBytes);
    const oldest = inFlight.length < blocksInFlight ? undefined : inFlight.shift();
    if (oldest !== undefined) yield await oldest;
  }
  for (const rest of inFlight) yield await rest;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(sizeBytes % 2 ** 32, 4);
  yield Buffer.concat([emptyLastBlock, trailer]);
}

/** The stream cut into blocks of one size (the last may be shorter), each a buffer of its own. */
async function* blocksOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafeSlow(blockBytes);
  let filled = 0;
  for await (const bytes of source) {
    for (let offset = 0; offset < bytes.length; ) {
      const length = Math.min(bytes.length - offset, blockBytes - filled);
      block.set(bytes.subarray(offset, offset + length), filled);
      filled += length;
      offset += length;
      if (filled < blockBytes) continue;
      yield block;
      block = Buffer.allocUnsafeSlow(blockBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

function deflate(block: Buffer, options: { level: number; dictionary?: Buffer }): Promise<Buffer> {
  // A sync flush ends a block at a byte without ending the stream; one output chunk spares round trips between the threads.
  const settings = { ...options, finishFlush: constants.Z_SYNC_FLUSH, chunkSize: blockBytes + 1024 };
  return new Promise((resolve, reject) => {
    deflateRaw(block, settings, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}
