import { createMemoryHost } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { kitEntries, replaceable, sumsText } from './kit-files.ts';

const sum = 'ab'.repeat(32);
const kit = {
  '/kit/SHA256SUMS': `${sum}  migrate-run\n${sum}  app/a b.js\n`,
  '/kit/migrate-run': 'x',
  '/kit/app/a b.js': 'y',
};

describe('replaceable', () => {
  it.each([
    ['nothing', {}, 'new'],
    ['a kit', kit, 'overwrites'],
    ['a kit of which files are missing', { '/kit/SHA256SUMS': kit['/kit/SHA256SUMS'] }, 'overwrites'],
  ])('lets a kit take the place of %s', async (_, files, expected) => {
    expect(await replaceable(createMemoryHost({ files }), '/kit', false)).toBe(expected);
  });

  it.each([
    ['a directory of somebody', { '/kit/photo.jpg': 'x' }],
    ['a kit with a file of somebody', { ...kit, '/kit/app/diary.txt': 'x' }],
    ['a directory whose checksums name other files', { ...kit, '/kit/SHA256SUMS': `${sum}  other\n` }],
    ['a file', { '/kit': 'x' }],
  ])('refuses to replace %s', async (_, files) => {
    await expect(replaceable(createMemoryHost({ files }), '/kit', false)).rejects.toMatchObject({
      code: 'unsupported',
    });
  });

  it('refuses a link to a directory, and a directory where an archive is wanted', async () => {
    const host = createMemoryHost({ files: kit, links: { '/link': '/kit' } });
    await expect(replaceable(host, '/link', false)).rejects.toMatchObject({ code: 'unsupported' });
    await expect(replaceable(host, '/kit', true)).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('checksums', () => {
  it('are of all files but themselves, in one order', async () => {
    const entries = await kitEntries(createMemoryHost({ files: kit }), '/kit');
    expect(sumsText(entries)).toBe(
      'a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa  app/a b.js\n' +
        '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  migrate-run\n',
    );
  });
});
