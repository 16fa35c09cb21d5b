import { setTimeout } from 'node:timers/promises';
import { MigrateError } from '@migrate/core';
import { expect, it } from 'vitest';
import { chunksIn, forEachChunk } from './chunks.ts';

const chunkBytes = 1024;
const chunks = [...chunksIn([{ startByte: 0, endByte: 10 * chunkBytes }], chunkBytes)];

/** Slower than whatever is done with its pieces. */
async function* slowStream(): AsyncGenerator<Uint8Array> {
  for (let count = 0; count < 10; count += 1) {
    await setTimeout(5);
    yield new Uint8Array(chunkBytes);
  }
}

it.each([0, 3, 8, 9])('a failure at chunk %d is thrown, however slow the stream is', async (failing) => {
  let handled = 0;
  const run = forEachChunk(slowStream(), { chunks, chunkBytes }, async (_, { startByte }) => {
    handled += 1;
    if (startByte === failing * chunkBytes) throw new MigrateError('write-failed', 'I/O error');
  });
  await expect(run).rejects.toThrow('I/O error');
  expect(handled).toBeLessThanOrEqual(failing + 2);
});
