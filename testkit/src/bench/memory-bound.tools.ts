import { execFile } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleProgram, stage2NodeFlags } from './bundle-program.ts';

const mebibyte = 1024 * 1024;
const imageMib = 2048;
const limitMib = 128;
let directory: string;
let program: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'memory-'));
  program = await bundleProgram('large-image', directory);
}, 30_000);
afterAll(() => rmSync(directory, { recursive: true }));

/** An MBR with one partition, and zeros: many gzip members, of which only two had to be made. */
function largeImage(): string {
  const path = join(directory, 'large.img.gz');
  const start = Buffer.alloc(16 * mebibyte);
  start[0x1be + 4] = 0x83;
  start.writeUInt32LE(2048, 0x1be + 8);
  start.writeUInt32LE(2048, 0x1be + 12);
  start.writeUInt16LE(0xaa55, 0x1fe);
  writeFileSync(path, gzipSync(start));
  const zeros = gzipSync(Buffer.alloc(16 * mebibyte));
  for (let mib = 16; mib < imageMib; mib += 16) appendFileSync(path, zeros);
  return path;
}

describe('memory', () => {
  it(`stays below ${limitMib} MiB while an image of ${imageMib} MiB is proven, flashed and verified`, async () => {
    const { stdout } = await promisify(execFile)('node', [...stage2NodeFlags, program, largeImage()]);
    const result = JSON.parse(stdout) as {
      sizeBytes: number;
      writtenBytes: number;
      differing: number[];
      peakRssKib: number;
    };
    expect(result).toMatchObject({
      sizeBytes: imageMib * mebibyte,
      writtenBytes: imageMib * mebibyte - 512,
      differing: [],
    });
    expect(result.peakRssKib / 1024).toBeLessThanOrEqual(limitMib);
  }, 60_000);
});
