import { createMemoryHost } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { looseAlignBytes, type RegionRequest, reserveRegion } from './reserve-region.ts';

const mebibyte = 1024 * 1024;
const blockBytes = 4096;
const path = '/lifeboat';

/** A file system with one long run of free blocks, which fallocate takes from its first one on. */
function fileSystem(firstBlock: number) {
  const ran: ('allocate' | 'give back')[] = [];
  const blocks = new Set<number>();
  const run = async (command: string, args: readonly string[]) => {
    if (command === 'filefrag') return { stdout: filefrag(firstBlock, blocks), stderr: '' };
    const [offset = 0, length = 0] = ['--offset', '--length'].map((name) => Number(args[args.indexOf(name) + 1]));
    const gives = args.includes('--punch-hole');
    ran.push(gives ? 'give back' : 'allocate');
    for (let block = offset / blockBytes; block < (offset + length) / blockBytes; block++)
      gives ? blocks.delete(block) : blocks.add(block);
    return { stdout: '', stderr: '' };
  };
  return { ran, blocks, host: createMemoryHost({ run }) };
}

/** As filefrag -s -v prints blocks of a file that lie in the same order in the file system. */
function filefrag(firstBlock: number, blocks: ReadonlySet<number>): string {
  const lines = [...blocks]
    .sort((a, b) => a - b)
    .map((block, index) => {
      const place = firstBlock + block;
      return `${index}: ${block}.. ${block}: ${place}.. ${place}: 1: unwritten`;
    });
  return [`File size of ${path} is 0 (0 blocks of ${blockBytes} bytes)`, ...lines, ''].join('\n');
}

describe('a region on a file system with one run of free blocks', () => {
  it('is among the first blocks that are allocated, wherever they begin, and something is always given back', async () => {
    const sizes = fc.record({
      firstBlock: fc.nat(1024),
      mebibytes: fc.integer({ min: 1, max: 4 }),
      looseBlocks: fc.nat(600),
    });
    await fc.assert(
      fc.asyncProperty(sizes, async ({ firstBlock, mebibytes, looseBlocks }) => {
        const { ran, blocks, host } = fileSystem(firstBlock);
        const request: RegionRequest = {
          ...{ host, path, sizeBytes: mebibytes * mebibyte, looseBytes: looseBlocks * looseAlignBytes },
          ...{ fromByte: 0, alignBytes: mebibyte, reserveBytes: 0 },
          programs: { fallocate: ['fallocate'], filefrag: ['filefrag'] },
        };
        const { whole, loose } = await reserveRegion(request);
        expect(whole.startByte % mebibyte).toBe(0);
        const looseBytes = loose.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
        expect(looseBytes).toBe(request.looseBytes);
        expect(ran.filter((what) => what === 'allocate')).toHaveLength(1);
        expect(ran.length).toBeGreaterThan(1);
        expect(blocks.size * blockBytes).toBe(request.sizeBytes + request.looseBytes);
      }),
    );
  });
});
