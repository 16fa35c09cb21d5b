import { createGunzip } from 'node:zlib';
import type { ByteReader } from '@migrate/core';
import { unpackByTransform } from './node-transform.ts';
import { damaged, outputChunkBytes, sliceBytes, type UnpackOptions } from './stream-options.ts';

/** See inflateGzip. */
export async function* inflateByNode(source: ByteReader, options: UnpackOptions): AsyncGenerator<Uint8Array> {
  // zlib's default of 16 KiB makes four times as many round trips to its thread, which costs four times the time.
  const gunzip = createGunzip({ chunkSize: outputChunkBytes });
  const end = yield* unpackByTransform(gunzip, source, options);
  await checkPadding(source, { from: end.usedBytes, seenBytes: end.readBytes, options });
}

/** What follows the last gzip member must be padding: zlib stops at a zero byte without looking further. */
export async function checkPadding(
  source: ByteReader,
  { from, seenBytes, options }: { from: number; seenBytes: number; options: UnpackOptions },
): Promise<void> {
  const slice = Buffer.allocUnsafeSlow(sliceBytes);
  for (let position = from; position < source.sizeBytes; ) {
    const count = await source.read(slice, position);
    if (count === 0) return;
    const bytes = slice.subarray(0, count);
    const unseen = Math.max(0, seenBytes - position);
    if (unseen < count) await options.onFileBytes?.(bytes.subarray(unseen));
    const garbage = bytes.findIndex((byte) => byte !== 0);
    if (garbage >= 0) {
      throw damaged(options, position + garbage, 'something that is not gzip follows the end of the image');
    }
    position += count;
  }
}
