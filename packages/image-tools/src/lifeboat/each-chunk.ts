import { type ByteReader, MigrateError } from '@migrate/core';

const chunkBytes = 4 * 1024 * 1024;

/** Reads exactly so many bytes piece by piece; throws `read-failed` where there are fewer. */
export async function eachChunk(
  reader: ByteReader,
  sizeBytes: number,
  handle: (bytes: Uint8Array, position: number) => Promise<void>,
  fromByte = 0,
): Promise<void> {
  const chunk = Buffer.alloc(Math.min(chunkBytes, Math.max(1, sizeBytes)));
  for (let position = 0; position < sizeBytes; ) {
    const wanted = Math.min(chunk.length, sizeBytes - position);
    const count = await reader.read(chunk.subarray(0, wanted), fromByte + position);
    if (count === 0)
      throw new MigrateError(
        'read-failed',
        `there are only ${position} of the ${sizeBytes} bytes that were there before`,
      );
    await handle(chunk.subarray(0, count), position);
    position += count;
  }
}
