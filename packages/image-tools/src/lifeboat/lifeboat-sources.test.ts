import { createMemoryHost, readExactly } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lifeboatSources } from './lifeboat-sources.ts';

const host = createMemoryHost({
  files: {
    '/boot/first': Buffer.from('abcde'),
    '/boot/second': Buffer.from('fgh'),
    '/boot/overlays/vc4-kms-v3d.dtbo': Buffer.from('vc4'),
    '/boot/overlays/README': Buffer.from('read me'),
    '/boot/overlays/below/other': Buffer.from('not a plain file of it'),
  },
});

describe('sources of a lifeboat', () => {
  it('are files, texts, and the plain files of directories', async () => {
    const sources = await lifeboatSources(host, [
      { path: 'kernel.img', from: '/boot/first' },
      { path: 'config.txt', text: 'ä\n' },
      { path: 'overlays', fromDirectory: '/boot/overlays' },
      { path: '', fromDirectory: '/boot', names: ['second'] },
    ]);
    expect(sources.map(({ path, sizeBytes, isOneOfMany = false }) => [path, sizeBytes, isOneOfMany])).toEqual([
      ['kernel.img', 5, false],
      ['config.txt', 3, false],
      ['overlays/README', 7, true],
      ['overlays/vc4-kms-v3d.dtbo', 3, true],
      ['second', 3, true],
    ]);
  });

  it('of several archives are one file, in which each begins where the kernel looks for it', async () => {
    const [source] = await lifeboatSources(host, [{ path: 'initramfs', archives: ['/boot/first', '/boot/second'] }]);
    const expected = Buffer.from('abcde\0\0\0fgh');
    expect(source?.sizeBytes).toBe(expected.length);
    const reader = await source?.open();
    if (reader === undefined) throw new Error('there is no source');
    await fc.assert(
      fc.asyncProperty(fc.nat(12), fc.nat(12), async (position, length) => {
        const target = Buffer.alloc(length, 'x');
        const count = await reader.read(target, position);
        expect(target.subarray(0, count).equals(expected.subarray(position, position + length))).toBe(true);
      }),
    );
    expect((await readExactly(reader, 0, expected.length))?.equals(expected)).toBe(true);
    await reader.close();
  });

  it.each([
    { path: 'kernel', from: '/boot/none' },
    { path: 'overlays', fromDirectory: '/boot/first' },
    { path: '', fromDirectory: '/boot', names: ['none'] },
    { path: 'initramfs', archives: ['/boot/first', '/boot/none'] },
  ])('are refused where nothing is there: %j', async (file) => {
    await expect(lifeboatSources(host, [file])).rejects.toMatchObject({ code: 'not-found' });
  });
});
