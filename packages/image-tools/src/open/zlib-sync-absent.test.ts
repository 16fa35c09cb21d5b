import { gzipSync } from 'node:zlib';
import { createMemoryHost } from '@migrate/core';
import { expect, it, vi } from 'vitest';
import { openImage } from './open-image.ts';

vi.mock('zlib-sync', () => {
  throw new Error("Cannot find package 'zlib-sync'");
});

it('says that zlib-sync is not installed only where it is chosen', async () => {
  const host = createMemoryHost({ files: { '/image.gz': gzipSync('contents') } });
  await expect(openImage(host, '/image.gz', { engine: 'zlib-sync' })).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringContaining('zlib-sync is not installed'),
  });
  const opened = await openImage(host, '/image.gz');
  expect(Buffer.from((await opened.stream().next()).value ?? []).toString()).toBe('contents');
});
