import { createMemoryHost, MigrateError } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { checkBootFiles, placeBootFiles } from './place-boot-files.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const files = [
  { path: '/system-connections/a', contents: bytes('first') },
  { path: '/system-connections/b', contents: bytes('second') },
];
const start = { '/boot/config.json': '{}' };

describe('files for the boot partition', () => {
  it('are added, and nothing else is changed', async () => {
    const host = createMemoryHost({ files: start });
    await placeBootFiles(host, '/boot', files);
    expect(await host.readText('/boot/system-connections/b')).toBe('second');
    const before = host.snapshot();
    await placeBootFiles(host, '/boot', files);
    expect(host.snapshot()).toEqual(before);
  });

  it('are taken back exactly', async () => {
    const host = createMemoryHost({ files: start });
    const before = host.snapshot();
    const undo = await placeBootFiles(host, '/boot', files);
    await undo();
    expect(host.snapshot()).toEqual(before);
  });

  it('leave the partition as it was when any write fails', async () => {
    for (let failing = 1; failing <= 3; failing += 1) {
      let changes = 0;
      const host = createMemoryHost({
        files: start,
        onChange: () => {
          changes += 1;
          if (changes === failing) throw new MigrateError('write-failed', 'no');
        },
      });
      const before = host.snapshot();
      await expect(placeBootFiles(host, '/boot', files)).rejects.toThrow('no');
      expect(host.snapshot()).toEqual(before);
    }
  });

  it('are completed after a power cut, and never replace a file of somebody else', async () => {
    const host = createMemoryHost({ files: { ...start, '/boot/system-connections/b': 'sec' } });
    expect(await checkBootFiles(host, '/boot', files)).toEqual([]);
    await placeBootFiles(host, '/boot', files);
    expect(await host.readText('/boot/system-connections/b')).toBe('second');
    const other = createMemoryHost({ files: { ...start, '/boot/system-connections/b': 'other' } });
    const before = other.snapshot();
    expect((await checkBootFiles(other, '/boot', files)).map(({ code }) => code)).toEqual(['boot-file-exists']);
    await expect(placeBootFiles(other, '/boot', files)).rejects.toThrow(/remove it/);
    expect(other.snapshot()).toEqual(before);
  });
});
