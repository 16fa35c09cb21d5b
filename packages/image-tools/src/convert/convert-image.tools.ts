import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createMemoryHost, createNodeHost, MigrateError, readerOf } from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { noise } from '../open/noise.ts';
import { openImage } from '../open/open-image.ts';
import { readSlices } from '../open/stream-options.ts';
import { convertImage } from './convert-image.ts';
import { gzipBlocks } from './gzip-blocks.ts';
import { type ImageFile, imageFileFormat, writeImage } from './write-image.ts';

// Programs take their time to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const mebibyte = 1024 * 1024;
const host = createNodeHost();
const image = Buffer.concat([noise(300_000), Buffer.alloc(6 * mebibyte), Buffer.alloc(300_001, 'text ')]);
let directory: string;
let sources: Record<string, string>;

const run = (command: string, ...args: string[]): Buffer =>
  execFileSync(command, args, { cwd: directory, maxBuffer: 64 * mebibyte });

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'convert-'));
  writeFileSync(join(directory, 'an.img'), image);
  run('zip', '-q', 'deflated.zip', 'an.img');
  run('zip', '-q0', 'stored.zip', 'an.img');
  for (const command of ['gzip', 'xz', 'zstd', 'bzip2']) run(command, '-qk', 'an.img');
  const names = ['an.img', 'an.img.gz', 'deflated.zip', 'stored.zip', 'an.img.xz', 'an.img.zst', 'an.img.bz2'];
  sources = Object.fromEntries(names.map((name) => [name, join(directory, name)]));
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

async function convert(from: string, to: string, options: { level?: number } = {}): Promise<ImageFile> {
  const opened = await openImage(host, from);
  try {
    return await convertImage({ host, image: opened, path: join(directory, to), ...options });
  } finally {
    await opened.close();
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('converting', () => {
  const names = ['an.img', 'an.img.gz', 'deflated.zip', 'stored.zip', 'an.img.xz', 'an.img.zst', 'an.img.bz2'];

  it.each(names)('%s to gzip, zstd and raw gives the image, with the hash of the file', async (name) => {
    for (const [to, ...command] of [
      ['out.img.gz', 'gzip', '-dc'],
      ['out.img.zst', 'zstd', '-dcq'],
      ['out.img', 'cat'],
    ] as const) {
      const written = await convert(sources[name] ?? '', to);
      const bytes = readFileSync(join(directory, to));
      expect(written).toEqual({
        path: join(directory, to),
        format: imageFileFormat(to),
        fileBytes: bytes.length,
        imageBytes: image.length,
        hash: { algorithm: 'sha256', digest: sha256(bytes) },
      });
      expect(run(command[0], ...command.slice(1), to).equals(image), to).toBe(true);
    }
    // Six of its MiB are zeros.
    expect(statSync(join(directory, 'out.img')).blocks * 512).toBeLessThan(2 * mebibyte);
  });

  it('takes the deflate stream of a zip archive as it is', async () => {
    await convert(sources['deflated.zip'] ?? '', 'rewrapped.img.gz');
    const written = readFileSync(join(directory, 'rewrapped.img.gz'));
    const archive = readFileSync(sources['deflated.zip'] ?? '');
    expect(archive.includes(written.subarray(10, -8))).toBe(true);
    await convert(sources['an.img.gz'] ?? '', 'same.img.gz');
    expect(run('cmp', 'same.img.gz', 'an.img.gz').length).toBe(0);
  });

  it('compresses again where a level asks for it, and tells the size in zstd files', async () => {
    const best = await convert(sources['an.img.gz'] ?? '', 'best.img.gz', { level: 9 });
    const fast = await convert(sources['an.img.gz'] ?? '', 'fast.img.gz', { level: 1 });
    expect(best.fileBytes).toBeLessThan(fast.fileBytes);
    await convert(sources['an.img'] ?? '', 'sized.img.zst', { level: 19 });
    const opened = await openImage(host, join(directory, 'sized.img.zst'));
    expect(opened.imageBytes).toBe(image.length);
    await opened.close();
  });

  it('makes the same file of the same image', async () => {
    const first = await convert(sources['an.img'] ?? '', 'first.img.gz');
    const second = await convert(sources['an.img.xz'] ?? '', 'second.img.gz');
    expect(second.hash).toEqual(first.hash);
  });

  it('refuses levels that there are not', async () => {
    for (const [to, level] of [
      ['out.img.gz', 10],
      ['out.img.gz', 0],
      ['out.img.zst', 20],
      ['out.img.zst', 1.5],
      ['out.img', 1],
    ] as const) {
      await expect(convert(sources['an.img'] ?? '', to, { level })).rejects.toThrow(`compression level ${level}`);
    }
  });

  it('goes by the name, which must tell', async () => {
    expect(['a.img', 'a.img.gz', 'A.IMG.ZST', 'a.raw'].map(imageFileFormat)).toEqual(['raw', 'gzip', 'zstd', 'raw']);
    await expect(convert(sources['an.img'] ?? '', 'out.zip')).rejects.toThrow('name it .img, .img.gz or .img.zst');
  });
});

describe('a conversion that does not come to its end', () => {
  const outputs = ['kept.img', 'kept.img.gz', 'kept.img.zst'];

  async function leavesAllAsItWas(action: (output: string) => Promise<unknown>, code: string): Promise<void> {
    for (const output of outputs) {
      writeFileSync(join(directory, output), 'what was there');
      const before = readdirSync(directory).sort();
      await expect(action(output), output).rejects.toMatchObject({ code });
      expect(readdirSync(directory).sort()).toEqual(before);
      expect(readFileSync(join(directory, output), 'utf8')).toBe('what was there');
    }
  }

  it.each(['an.img.gz', 'deflated.zip', 'an.img.xz', 'an.img.zst', 'an.img.bz2'])(
    'leaves nothing of a damaged %s',
    async (name) => {
      const bytes = readFileSync(sources[name] ?? '');
      const damaged = join(directory, `damaged-${name}`);
      const middle = Math.floor(bytes.length / 3);
      bytes.fill(0x5a, middle, middle + 100);
      writeFileSync(damaged, bytes);
      await leavesAllAsItWas((output) => convert(damaged, output), 'invalid-input');
    },
  );

  it('leaves nothing when cancelled, by the image or by the output', async () => {
    for (const owner of ['image', 'output']) {
      await leavesAllAsItWas(async (output) => {
        const abort = new AbortController();
        let events = 0;
        const emit = (): void => {
          events += 1;
          if (events === 2) abort.abort();
        };
        const { signal } = abort;
        const opened = await openImage(host, sources['deflated.zip'] ?? '', {
          emit,
          ...(owner === 'image' ? { signal } : {}),
        });
        try {
          await convertImage({
            host,
            image: opened,
            path: join(directory, output),
            ...(owner === 'output' ? { signal } : {}),
          });
        } finally {
          await opened.close();
        }
      }, 'cancelled');
    }
  });

  it('leaves nothing where the disk is full, at any write', async () => {
    for (let failing = 1; failing < 12; failing += 1) {
      let changes = 0;
      const memory = createMemoryHost({
        files: { '/an.zip': readFileSync(sources['deflated.zip'] ?? ''), '/out.img.gz': 'old' },
        onChange: () => {
          changes += 1;
          if (changes === failing) throw new MigrateError('no-space', 'the disk is full');
        },
      });
      const before = memory.snapshot();
      const opened = await openImage(memory, '/an.zip');
      const converting = convertImage({ host: memory, image: opened, path: '/out.img.gz' });
      const outcome = await converting.then(
        () => 'done',
        (thrown: unknown) => (thrown instanceof MigrateError ? thrown.code : thrown),
      );
      if (changes < failing) expect(outcome).toBe('done');
      else expect([outcome, memory.snapshot()]).toEqual(['no-space', before]);
    }
  });

  it('refuses an image that is not as large as was said', async () => {
    await leavesAllAsItWas(
      (output) =>
        writeImage({
          host,
          path: join(directory, output),
          stream: readSlices(readerOf(image)),
          imageBytes: image.length + 1,
        }),
      'invalid-input',
    );
  });
});

describe('gzipBlocks', () => {
  async function packed(contents: Buffer, sliceBytes: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const bytes of gzipBlocks(readSlices(readerOf(contents), { chunkBytes: sliceBytes }))) parts.push(bytes);
    return Buffer.concat(parts);
  }

  it('makes one member that gunzip takes, whatever the contents and however they come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(1_500_000), fc.constantFrom('noise', 'text', 'zeros')), { maxLength: 4 }),
        fc.integer({ min: 10_000, max: 3_000_000 }),
        async (parts, sliceBytes) => {
          const contents = Buffer.concat(
            parts.map(([size, kind]) =>
              kind === 'noise' ? noise(size) : Buffer.alloc(size, kind === 'text' ? 'text of some kind, ' : 0),
            ),
          );
          expect(gunzipSync(await packed(contents, sliceBytes)).equals(contents)).toBe(true);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('is as small as gzip makes it, within half a percent', async () => {
    const words = Array.from({ length: 250_000 }, (_, index) => `${(index * 2654435761) % 99991} `).join('');
    const contents = Buffer.from(words);
    expect((await packed(contents, mebibyte)).length).toBeLessThan(gzipSync(contents).length * 1.005);
  });
});
