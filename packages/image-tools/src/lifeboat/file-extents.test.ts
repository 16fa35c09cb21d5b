import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Extent, findRun, parseExtents } from './file-extents.ts';

const said = `Filesystem type is: ef53
File size of m/f is 838860800 (204800 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..   63487:      34816..     98303:  63488:             unwritten
   1:    63488..  126975:     100352..    163839:  63488:      98304: unwritten
   2:   126976..  204799:     163840..    241663:  77824:             last,unwritten,eof
m/f: 2 extents found
`;
const block = 4096;

describe('what filefrag says', () => {
  it('becomes extents in bytes', () => {
    expect(parseExtents(said)).toEqual([
      { fileByte: 0, startByte: 34816 * block, sizeBytes: 63488 * block },
      { fileByte: 63488 * block, startByte: 100352 * block, sizeBytes: 63488 * block },
      { fileByte: 126976 * block, startByte: 163840 * block, sizeBytes: 77824 * block },
    ]);
  });

  it.each(['delalloc', 'unknown_loc', 'inline', 'shared', 'encoded'])('is refused with blocks that are %s', (flag) => {
    expect(() => parseExtents(said.replace('last,unwritten', `last,${flag}`))).toThrow(flag);
  });

  it('is refused where it is something else', () => {
    expect(() => parseExtents('m/f: 3 extents found\n')).toThrow(/something else/);
  });
});

describe('a run', () => {
  const alignBytes = 8;

  it('goes over extents that follow each other, and is the last one there is', () => {
    const found = findRun(parseExtents(said), { sizeBytes: 100_000 * block, fromByte: 0, alignBytes: block });
    expect(found).toEqual({ fileByte: 104_800 * block, startByte: 141_664 * block, sizeBytes: 100_000 * block });
  });

  it('lies in the file, in one piece, behind the limit and aligned, wherever there is one; else there is none', () => {
    const extentsOf = (parts: readonly (readonly [gap: number, length: number, isSwapped: boolean])[]): Extent[] => {
      let [startByte, fileByte] = [0, 0];
      const extents = parts.map(([gap, length]) => {
        startByte += gap;
        const extent = { fileByte, startByte, sizeBytes: length };
        startByte += length;
        fileByte += length;
        return extent;
      });
      return extents;
    };
    const parts = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 40 }), fc.boolean()), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(
        parts,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 0, max: 200 }),
        (shape, sizeBytes, fromByte) => {
          const extents = extentsOf(shape);
          const blocks = new Map<number, number>();
          for (const { fileByte, startByte, sizeBytes: length } of extents)
            for (let index = 0; index < length; index += 1) blocks.set(startByte + index, fileByte + index);
          const fits = (start: number): boolean => {
            const fileByte = blocks.get(start);
            return (
              fileByte !== undefined &&
              Array.from({ length: sizeBytes }, (_, index) => blocks.get(start + index) === fileByte + index).every(
                Boolean,
              )
            );
          };
          const starts = [...blocks.keys()].filter(
            (start) => start >= fromByte && start % alignBytes === 0 && fits(start),
          );
          const found = findRun(extents, { sizeBytes, fromByte, alignBytes });
          expect(found?.startByte).toBe(starts.length === 0 ? undefined : Math.max(...starts));
          if (found !== undefined) expect(blocks.get(found.startByte)).toBe(found.fileByte);
        },
      ),
    );
  });
});
