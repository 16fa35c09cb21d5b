import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Extent, findPieces, findRun, holds, parseExtents } from './file-extents.ts';

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

describe('pieces', () => {
  const none: Extent = { fileByte: 0, startByte: 0, sizeBytes: 0 };
  const whole = { fileByte: 140_000 * block, startByte: 176_864 * block, sizeBytes: 50_000 * block };

  it('are as few as there can be, without what is taken', () => {
    const pieces = findPieces(parseExtents(said), {
      ...{ sizeBytes: 80_000 * block, fromByte: 40_000 * block, alignBytes: block, taken: whole, most: 3 },
    });
    // Behind the copy of the superblock the two last extents are one run, of which the taken piece leaves two parts.
    expect(pieces).toEqual([
      { fileByte: 60_000 * block, startByte: 94_816 * block, sizeBytes: 3488 * block },
      { fileByte: 63_488 * block, startByte: 100_352 * block, sizeBytes: 76_512 * block },
    ]);
  });

  it('are not to be had where they would be too many, or too small', () => {
    const request = { sizeBytes: 80_000 * block, fromByte: 0, alignBytes: block, taken: whole };
    expect(findPieces(parseExtents(said), { ...request, most: 1 })).toBeUndefined();
    expect(findPieces(parseExtents(said), { ...request, sizeBytes: 154_801 * block, most: 9 })).toBeUndefined();
  });

  it('hold what was asked for, apart from each other and from what is taken, behind the limit and aligned', () => {
    const parts = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 40 })), { maxLength: 8 });
    const sizes = { sizeBytes: fc.integer({ min: 0, max: 30 }), fromByte: fc.integer({ min: 0, max: 99 }) };
    fc.assert(
      fc.property(parts, fc.record(sizes), (shape, { sizeBytes: quarters, fromByte }) => {
        let [startByte, fileByte] = [0, 0];
        const extents = shape.map(([gap, length]) => {
          const extent = { fileByte, startByte: startByte + gap, sizeBytes: length };
          startByte += gap + length;
          fileByte += length;
          return extent;
        });
        const taken = findRun(extents, { sizeBytes: 8, fromByte, alignBytes: 8 }) ?? none;
        const sizeBytes = quarters * 4;
        const found = findPieces(extents, { sizeBytes, fromByte, alignBytes: 4, taken, most: 4 });
        if (found === undefined) return;
        expect(found.length).toBeLessThanOrEqual(4);
        expect(found.reduce((sum, piece) => sum + piece.sizeBytes, 0)).toBe(sizeBytes);
        const used = new Set<number>();
        for (const piece of [...found, taken]) {
          expect(holds(extents, piece) || piece.sizeBytes === 0).toBe(true);
          for (let at = piece.startByte; at < piece.startByte + piece.sizeBytes; at += 1) {
            expect(used.has(at)).toBe(false);
            used.add(at);
          }
        }
        for (const piece of found) {
          expect(piece.startByte).toBeGreaterThanOrEqual(fromByte);
          expect(piece.startByte % 4).toBe(0);
        }
      }),
    );
  });

  it('are held only where they were', () => {
    const extents = parseExtents(said);
    expect(holds(extents, whole)).toBe(true);
    expect(holds(extents, { ...whole, startByte: whole.startByte + block })).toBe(false);
    expect(holds(extents, { ...whole, sizeBytes: 80_000 * block })).toBe(false);
  });
});
