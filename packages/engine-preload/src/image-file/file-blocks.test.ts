import type { ByteRange } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blocksOf, parseBlockRuns } from './file-blocks.ts';

const ranges = fc.array(fc.tuple(fc.nat(9000), fc.nat(9000)), { maxLength: 8 }).map((pairs) => {
  let startByte = 0;
  return pairs.map(([gap, length]): ByteRange => {
    const range = { startByte: startByte + gap, endByte: startByte + gap + length };
    startByte = range.endByte;
    return range;
  });
});

describe('blocks of ranges', () => {
  it('are just those that hold a byte, each once', () => {
    fc.assert(
      fc.property(ranges, (all) => {
        const wanted = new Set<number>();
        for (const { startByte, endByte } of all)
          for (let byte = startByte; byte < endByte; byte += 1) wanted.add(Math.floor(byte / 1024));
        const found = blocksOf(all, 1024).flatMap(([first, last]) =>
          Array.from({ length: last - first + 1 }, (_, index) => first + index),
        );
        expect(found).toEqual([...wanted].sort((one, other) => one - other));
      }),
    );
  });
});

describe('what debugfs says of blocks', () => {
  const said = [
    'debugfs: cd /docker',
    'debugfs: write /dev/null f1',
    'Allocated inode: 14',
    'debugfs: ex -l f1',
    'Level Entries       Logical        Physical Length Flags',
    ' 0/ 0   1/  2     0 -  2499   2536 -   5035   2500 Uninit',
    ' 1/ 1   2/  2  5000 -  5000   7536 -   7536      1 ',
    'debugfs: set_inode_field f1 uid 0',
    ' 0/ 0   1/  1     0 -     0      9 -      9      1 ',
    'debugfs: ex -l empty',
    'Level Entries       Logical        Physical Length Flags',
    '',
  ];

  it('is read file by file', () => {
    expect(parseBlockRuns(said.join('\n'))).toEqual([
      [
        { logical: 0, physical: 2536, count: 2500 },
        { logical: 5000, physical: 7536, count: 1 },
      ],
      [],
    ]);
  });

  it.each([' 0/ 0 1/ 1 0 - 9 100 - 109 9 ', ' 0/ 0 1/ 1 0 - 9 100 - 108 10 ', ' 0/ 0 1/ 1 9 - 0 100 - 91 1 '])(
    'is refused where it makes no sense: %s',
    (line) => expect(() => parseBlockRuns(`debugfs: ex -l a\n${line}`)).toThrow('make no sense'),
  );
});
