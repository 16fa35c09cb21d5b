import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { inspect } from './inspect.ts';

const sound = { '/lib/modules/6.1/modules.dep': '', '/proc/sys/kernel/osrelease': '6.1\n' };

async function areasOf(places: readonly { path: string; startByte: number; sizeBytes: number }[]) {
  const device = new Uint8Array(128 * 1024);
  device.set(Buffer.from('abc'), 1000);
  const host = createMemoryHost({ files: { ...sound, '/dev/disk': device } });
  const request = { places: [], bootFiles: () => [], bootPlaces: () => [], bootAreas: () => places };
  return (await inspect(host, request)).bootAreas;
}

describe('bytes outside of file systems', () => {
  it('become facts, zeros without their contents', async () => {
    expect(
      await areasOf([
        { path: '/dev/disk', startByte: 1000, sizeBytes: 4 },
        { path: '/dev/disk', startByte: 2000, sizeBytes: 512 },
      ]),
    ).toEqual([
      { path: '/dev/disk', startByte: 1000, sizeBytes: 4, contents: Buffer.from('abc\0').toString('base64') },
      { path: '/dev/disk', startByte: 2000, sizeBytes: 512 },
    ]);
  });

  it('are not taken for zeros where the disk ends before', async () => {
    const place = { path: '/dev/disk', startByte: 128 * 1024 - 100, sizeBytes: 512 };
    expect(await areasOf([place])).toEqual([{ ...place, contents: Buffer.alloc(100).toString('base64') }]);
  });

  it('are left out where they are not there or more than 64 KiB, and the fact where nobody asks', async () => {
    expect(
      await areasOf([
        { path: '/dev/other', startByte: 0, sizeBytes: 4 },
        { path: '/dev/disk', startByte: 0, sizeBytes: 64 * 1024 + 1 },
      ]),
    ).toBeUndefined();
  });
});
