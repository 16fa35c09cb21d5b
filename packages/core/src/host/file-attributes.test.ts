import { expect, test } from 'vitest';
import { parseFileAttributes } from './file-attributes.ts';

test('attributes of several files, by their paths', () => {
  const text = [
    '# file: /a/b c',
    'user.second=0x0102ff',
    'user.empty',
    'security.capability=0x0100000200200000000000000000000000000000',
    '',
    '# file: /line\\012break \\134 back',
    'user.odd\\075name=0x',
    '',
    '',
  ].join('\n');
  expect([...parseFileAttributes(text)]).toEqual([
    [
      '/a/b c',
      [
        { name: 'security.capability', value: Buffer.from('0100000200200000000000000000000000000000', 'hex') },
        { name: 'user.empty', value: Buffer.alloc(0) },
        { name: 'user.second', value: Buffer.from([1, 2, 255]) },
      ],
    ],
    ['/line\nbreak \\ back', [{ name: 'user.odd=name', value: Buffer.alloc(0) }]],
  ]);
  expect(parseFileAttributes('').size).toBe(0);
});

test.each(['user.a=0x00', '# file: /a\nuser.a=text'])('refuses what getfattr does not say: %s', (text) => {
  expect(() => parseFileAttributes(text)).toThrow('not understood');
});
