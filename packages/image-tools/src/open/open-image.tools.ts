import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createMemoryHost, createNodeHost, type Event, type Host, MigrateError } from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { noise } from './noise.ts';
import { type OpenedImage, type OpenImageOptions, openImage } from './open-image.ts';

// Programs take their time to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const mebibyte = 1024 * 1024;
const host = createNodeHost();
/** A boot sector's signature, noise, text, and holes. */
const image = Buffer.concat([
  Buffer.alloc(510, 1),
  Buffer.from([0x55, 0xaa]),
  noise(200_000),
  Buffer.alloc(1_500_000),
  Buffer.alloc(200_000, 'some text that is packed '),
  Buffer.alloc(77),
]);

let directory: string;
let files: Record<string, string>;

const run = (command: string, args: readonly string[], input?: Buffer): Buffer =>
  execFileSync(command, args, { cwd: directory, maxBuffer: 64 * mebibyte, ...(input === undefined ? {} : { input }) });

function save(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'open-'));
  save('an.img', image);
  const half = image.subarray(0, image.length / 2);
  const rest = image.subarray(image.length / 2);
  const twice = (command: string, ...args: string[]): Buffer =>
    Buffer.concat([run(command, ['-c', ...args], half), run(command, ['-c', ...args], rest)]);
  run('zip', ['-q', 'deflated.zip', 'an.img']);
  run('zip', ['-q0', 'stored.zip', 'an.img']);
  run('zip', ['-q', '-fz', 'zip64.zip', 'an.img']);
  // Sizes and CRC behind the contents, as zip cannot go back on a pipe.
  writeFileSync(join(directory, 'descriptor.zip'), run('zip', ['-q', '-', '-'], image));
  mkdirSync(join(directory, 'folder/__MACOSX'), { recursive: true });
  for (const name of ['README.txt', '.DS_Store', '__MACOSX/._an.img']) save(`folder/${name}`, Buffer.from('text'));
  save('folder/an.img', image);
  execFileSync('zip', ['-qr', '../accompanied.zip', '.'], { cwd: join(directory, 'folder') });
  files = {
    raw: join(directory, 'an.img'),
    gzip: save('g', gzipSync(image)),
    'gzip of two members': save('gg', twice('gzip')),
    'zip, deflated': join(directory, 'deflated.zip'),
    'zip, stored': join(directory, 'stored.zip'),
    'zip64, deflated': join(directory, 'zip64.zip'),
    'zip with data descriptor': join(directory, 'descriptor.zip'),
    'zip with a README': join(directory, 'accompanied.zip'),
    xz: save('x', run('xz', ['-c'], image)),
    'xz of two streams': save('xx', Buffer.concat([twice('xz'), Buffer.alloc(8)])),
    'xz of many blocks': save('xb', run('xz', ['-c', '--block-size=100KiB'], image)),
    zstd: save('z', run('zstd', ['-c'], image)),
    'zstd of two frames': save('zz', twice('zstd')),
    'zstd behind a skippable frame': save(
      'zs',
      Buffer.concat([Buffer.from([0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]), run('zstd', ['-c'], image)]),
    ),
    bzip2: save('b', run('bzip2', ['-c'], image)),
    'bzip2 of two streams': save('bb', twice('bzip2')),
  };
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

async function withImage<T>(
  path: string,
  use: (opened: OpenedImage) => Promise<T>,
  options: OpenImageOptions = {},
): Promise<T> {
  const opened = await openImage(host, path, options);
  try {
    return await use(opened);
  } finally {
    await opened.close();
  }
}

async function contentsOf(path: string, options: OpenImageOptions = {}): Promise<Buffer> {
  return withImage(
    path,
    async (opened) => {
      const parts: Uint8Array[] = [];
      for await (const bytes of opened.stream()) parts.push(bytes);
      return Buffer.concat(parts);
    },
    options,
  );
}

const containers = [
  ['raw', 'raw', image.length],
  ['gzip', 'gzip', undefined],
  ['gzip of two members', 'gzip', undefined],
  ['zip, deflated', 'zip', image.length],
  ['zip, stored', 'zip', image.length],
  ['zip64, deflated', 'zip', image.length],
  ['zip with data descriptor', 'zip', image.length],
  ['zip with a README', 'zip', image.length],
  ['xz', 'xz', image.length],
  ['xz of two streams', 'xz', image.length],
  ['xz of many blocks', 'xz', image.length],
  // zstd tells the size only where it knew it, which it does not of a pipe.
  ['zstd', 'zstd', undefined],
  ['zstd of two frames', 'zstd', undefined],
  ['zstd behind a skippable frame', 'zstd', undefined],
  ['bzip2', 'bzip2', undefined],
  ['bzip2 of two streams', 'bzip2', undefined],
] as const;

describe('an image in any container', () => {
  it.each(containers)('%s is recognised by its content and gives the image', async (name, container, imageBytes) => {
    const path = files[name] ?? '';
    expect((await contentsOf(path)).equals(image)).toBe(true);
    await withImage(path, async (opened) => {
      expect(opened).toMatchObject({ container, path, fileBytes: readFileSync(path).length });
      expect(opened.imageBytes).toBe(imageBytes);
    });
  });

  it.each(containers)('%s can be read anywhere, forward or spilt, and leaves nothing behind', async (name) => {
    const before = readdirSync(directory).sort();
    await withImage(files[name] ?? '', async (opened) => {
      const spilt = await opened.spill(directory);
      const forward = opened.forward();
      for (const [position, length] of [
        [300_000, 5000],
        [0, 512],
        [image.length - 10, 100],
        [1_800_000, 4096],
      ] as const) {
        for (const reader of [spilt, forward]) {
          const target = Buffer.alloc(length);
          const count = await reader.read(target, position);
          expect(target.subarray(0, count).equals(image.subarray(position, position + length))).toBe(true);
        }
      }
      expect(spilt.sizeBytes).toBe(image.length);
      expect(readdirSync(directory).sort()).toEqual(before);
      await forward.close();
      await spilt.close();
    });
  });

  it('tells the size of a .zst file that tells it, frame by frame', async () => {
    run('zstd', ['-qk', 'an.img']);
    const one = readFileSync(join(directory, 'an.img.zst'));
    const sizeOf = (bytes: Buffer): Promise<number | undefined> =>
      withImage(save('sized.zst', bytes), async ({ imageBytes }) => imageBytes);
    expect(await sizeOf(one)).toBe(image.length);
    expect(await sizeOf(Buffer.concat([one, one]))).toBe(2 * image.length);
  });

  it('reports its progress in bytes of the file, up to all of them', async () => {
    for (const name of ['raw', 'gzip', 'zip, deflated', 'xz', 'zstd', 'bzip2']) {
      const events: Event[] = [];
      await contentsOf(files[name] ?? '', { emit: (event) => events.push(event) });
      const last = events.at(-1);
      if (last?.kind !== 'progress') throw new Error('no progress');
      expect([name, last.done, last.unit]).toEqual([name, last.total, 'bytes']);
    }
  });

  it('inflates by zlib-sync alike', async () => {
    for (const name of ['gzip', 'gzip of two members', 'zip, deflated']) {
      expect((await contentsOf(files[name] ?? '', { engine: 'zlib-sync' })).equals(image), name).toBe(true);
    }
  });

  it('spills zeros as holes', async () => {
    const zeros = gzipSync(Buffer.alloc(32 * mebibyte));
    const memory = createMemoryHost({ files: { '/zeros.gz': zeros } });
    const writes: number[] = [];
    const counting: Host = {
      ...memory,
      createScratchFile: async (where) => {
        const file = await memory.createScratchFile(where);
        const { write } = file;
        return Object.assign(file, {
          write: (source: Uint8Array, position: number) => {
            writes.push(source.length);
            return write(source, position);
          },
        });
      },
    };
    const opened = await openImage(counting, '/zeros.gz');
    const spilt = await opened.spill('/');
    expect([spilt.sizeBytes, writes]).toEqual([32 * mebibyte, []]);
  });

  it('reads a stored image behind 4 GiB, with nothing but zip64 to find it by', async () => {
    const sizeBytes = 5 * 1024 ** 3;
    const path = save('large.zip', storedZip64('large.img', sizeBytes));
    // What was a short archive becomes one with a hole of 5 GiB before its directory.
    const { head, tail } = storedZip64Parts('large.img', sizeBytes);
    truncateSync(path, 0);
    truncateSync(path, head.length + sizeBytes);
    const writer = await host.openWrite(path);
    await writer.write(head, 0);
    await writer.write(Buffer.from('here'), head.length + 4.5 * 1024 ** 3);
    await writer.write(tail, head.length + sizeBytes);
    await writer.close();
    await withImage(path, async (opened) => {
      expect(opened).toMatchObject({ container: 'zip', imageBytes: sizeBytes, entryName: 'large.img' });
      const reader = await opened.spill(directory);
      const target = Buffer.alloc(4);
      await reader.read(target, 4.5 * 1024 ** 3);
      expect(target.toString()).toBe('here');
    });
    rmSync(path);
  });
});

function storedZip64(name: string, sizeBytes: number): Buffer {
  const { head, tail } = storedZip64Parts(name, sizeBytes);
  return Buffer.concat([head, tail]);
}

/** An archive of one stored file, without the file (APPNOTE.TXT, 4.3.6). */
function storedZip64Parts(name: string, sizeBytes: number): { head: Buffer; tail: Buffer } {
  const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const u64 = (value: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    return bytes;
  };
  const sizes = Buffer.concat([u16(1), u16(16), u64(sizeBytes), u64(sizeBytes)]);
  const common = [u16(45), u16(0), u16(0), u16(0), u16(0x21), u32(0), u32(0xffffffff), u32(0xffffffff)];
  const names = [u16(name.length), u16(sizes.length)];
  const head = Buffer.concat([u32(0x04034b50), ...common, ...names, Buffer.from(name), sizes]);
  const directoryStart = head.length + sizeBytes;
  const entry = Buffer.concat([
    ...[u32(0x02014b50), u16(45), ...common, ...names, u16(0), u16(0), u16(0), u32(0), u32(0)],
    ...[Buffer.from(name), sizes],
  ]);
  const end64 = Buffer.concat([
    ...[u32(0x06064b50), u64(44), u16(45), u16(45), u32(0), u32(0), u64(1), u64(1), u64(entry.length)],
    u64(directoryStart),
  ]);
  const locator = Buffer.concat([u32(0x07064b50), u32(0), u64(directoryStart + entry.length), u32(1)]);
  const end = Buffer.concat([
    ...[u32(0x06054b50), u16(0), u16(0), u16(0xffff), u16(0xffff), u32(0xffffffff), u32(0xffffffff), u16(0)],
  ]);
  return { head, tail: Buffer.concat([entry, end64, locator, end]) };
}

describe('a file that is no image', () => {
  it.each([
    ['7z', Buffer.from('7z\xbc\xaf\x27\x1c', 'latin1'), '7z x'],
    ['rar', Buffer.from('Rar!\x1a\x07', 'latin1'), 'unrar'],
    ['lz4', Buffer.from([0x04, 0x22, 0x4d, 0x18]), 'lz4 -dc'],
    ['vhdx', Buffer.from('vhdxfile'), 'qemu-img convert'],
    ['tar', Buffer.concat([Buffer.alloc(257), Buffer.from('ustar')]), 'tar xf'],
    ['iso', Buffer.concat([Buffer.alloc(32769), Buffer.from('CD001')]), 'balenaCloud'],
    ['html', Buffer.from('<!DOCTYPE html>'), 'balenaCloud'],
    ['vhd', Buffer.concat([Buffer.alloc(4096), Buffer.from('conectix'), Buffer.alloc(504)]), 'qemu-img convert'],
  ])('is refused by name: %s', async (name, bytes, cure) => {
    const path = save('foreign', Buffer.concat([bytes, Buffer.alloc(name === 'vhd' ? 0 : 600)]));
    await expect(openImage(host, path)).rejects.toMatchObject({ code: 'unsupported', data: { path, format: name } });
    await expect(openImage(host, path)).rejects.toThrow(cure);
  });

  it.each(['qcow2', 'vmdk', 'vhdx', 'vdi', 'vpc'])('is refused by name as qemu-img makes it: %s', async (name) => {
    run('qemu-img', ['create', '-q', '-f', name, `disk.${name}`, '1M']);
    const path = join(directory, `disk.${name}`);
    const format = name === 'vpc' ? 'vhd' : name;
    await expect(openImage(host, path)).rejects.toMatchObject({ code: 'unsupported', data: { format } });
  });

  it('is refused where it is packed twice, or is a tar file', async () => {
    run('tar', ['cf', 'an.tar', 'an.img']);
    const tar = readFileSync(join(directory, 'an.tar'));
    for (const [bytes, words] of [
      [gzipSync(gzipSync(image)), 'holds gzip in gzip'],
      [gzipSync(tar), 'holds tar in gzip'],
      [run('xz', ['-c'], tar), 'holds tar in xz'],
    ] as const) {
      await expect(openImage(host, save('twice', bytes))).rejects.toThrow(words);
    }
    save('an.img.gz', gzipSync(image));
    run('zip', ['-q', 'twice.zip', 'an.img.gz']);
    await expect(openImage(host, join(directory, 'twice.zip'))).rejects.toThrow('holds gzip in zip');
  });

  it('is refused where it is empty or not there', async () => {
    await expect(openImage(host, save('empty', Buffer.alloc(0)))).rejects.toThrow('is empty');
    await expect(openImage(host, join(directory, 'none'))).rejects.toMatchObject({ code: 'read-failed' });
  });
});

describe('a zip archive', () => {
  const zipOf = (name: string, ...args: string[]): string => {
    rmSync(join(directory, name), { force: true });
    run('zip', ['-q', ...args.slice(0, -1), name, ...(args.at(-1) ?? '').split(' ')]);
    return join(directory, name);
  };

  it('must hold one image; what it holds is listed', async () => {
    save('other.img', noise(100));
    await expect(openImage(host, zipOf('two.zip', 'an.img other.img'))).rejects.toThrow(
      `holds 2 images: an.img (${image.length} bytes), other.img (100 bytes); unpack it and name the image`,
    );
    save('one.txt', Buffer.from('1'));
    save('two.txt', Buffer.from('2'));
    await expect(openImage(host, zipOf('texts.zip', 'one.txt two.txt'))).rejects.toThrow('holds no image: one.txt');
    await expect(openImage(host, zipOf('folders.zip', 'folder/'))).rejects.toThrow('holds no image: no file');
    expect((await contentsOf(zipOf('odd.zip', 'one.txt'))).toString()).toBe('1');
  });

  it('must not be encrypted, nor packed by another method than deflate', async () => {
    await expect(openImage(host, zipOf('secret.zip', '-P', 'password', 'an.img'))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('an.img is encrypted'),
    });
    await expect(openImage(host, zipOf('bzip2.zip', '-Z', 'bzip2', 'an.img'))).rejects.toThrow('is packed by bzip2');
  });

  it('is refused where it holds more files than anyone would keep an image among', async () => {
    const names = Array.from({ length: 1001 }, (_, index) => `many-${index}`);
    for (const name of names) save(name, Buffer.from('x'));
    await expect(openImage(host, zipOf('many.zip', names.join(' ')))).rejects.toThrow('more than 1000 files');
  });

  it('is refused where its directory and its contents disagree', async () => {
    const good = readFileSync(files['zip, deflated'] ?? '');
    const entry = good.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
    const changed = (offset: number, value: number): string => {
      const bytes = Buffer.from(good);
      bytes.writeUInt32LE(value, entry + offset);
      return save('changed.zip', bytes);
    };
    await expect(contentsOf(changed(16, 0x12345678))).rejects.toThrow('incorrect data check');
    await expect(contentsOf(changed(20, 1000))).rejects.toThrow(/is damaged at or after byte \d+/);
    await expect(contentsOf(changed(20, 0x7fffffff))).rejects.toThrow('file data overflows file bounds');
    await expect(contentsOf(changed(24, 5))).rejects.toThrow(/is damaged/);
    await expect(contentsOf(changed(42, 77))).rejects.toThrow('is no sound zip archive');
    await expect(contentsOf(save('behind.zip', Buffer.concat([good, Buffer.from('x')])))).rejects.toThrow(
      'no sound zip archive',
    );
  });
});

describe('a damaged file', () => {
  const packed = ['gzip', 'zip, deflated', 'zip, stored', 'xz', 'zstd', 'bzip2'] as const;

  it.each(packed)('%s is refused wherever it is cut off', async (name) => {
    const bytes = readFileSync(files[name] ?? '');
    const cuts = [20, 1000, 0.3 * bytes.length, 0.9 * bytes.length, bytes.length - 9, bytes.length - 1];
    for (const cut of cuts.map(Math.floor)) {
      const cutOff = contentsOf(save('cut', bytes.subarray(0, cut)));
      await expect(cutOff, `at ${cut} of ${bytes.length}`).rejects.toMatchObject({ code: 'invalid-input' });
    }
  });

  it.each(packed)('%s never gives another image, wherever a byte is changed', async (name) => {
    const bytes = readFileSync(files[name] ?? '');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (offset, change) => {
        const changed = Buffer.from(bytes);
        changed[offset] = (changed[offset] ?? 0) ^ change;
        const found = await contentsOf(save('changed', changed)).catch((thrown: unknown) => {
          expect(thrown).toBeInstanceOf(MigrateError);
        });
        // A changed magic number makes it a raw image, which is no image of a disk; a changed time stamp does no harm.
        if (found !== undefined && !found.equals(changed)) expect(found.equals(image)).toBe(true);
      }),
      { numRuns: name === 'gzip' || name.startsWith('zip') ? 30 : 6 },
    );
  });

  it.each(packed)('%s is refused where something follows its end', async (name) => {
    const bytes = readFileSync(files[name] ?? '');
    for (const garbage of ['garbage behind the end', 'x']) {
      const path = save('followed', Buffer.concat([bytes, Buffer.from(garbage)]));
      await expect(contentsOf(path), garbage).rejects.toMatchObject({ code: 'invalid-input', data: { path } });
    }
  });

  it.each(packed)('%s is refused where it holds more than it may', async (name) => {
    const maximumBytes = image.length - 1;
    await expect(contentsOf(files[name] ?? '', { maximumBytes })).rejects.toThrow(`more than ${maximumBytes} bytes`);
    expect((await contentsOf(files[name] ?? '', { maximumBytes: image.length })).length).toBe(image.length);
  });

  it('is refused where a .zst file has frames without number', async () => {
    // Each an empty last block, raw (RFC 8878, sections 3.1.1.1 and 3.1.1.2).
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0]);
    const path = save('frames.zst', Buffer.alloc(frame.length * 100_001, frame));
    await expect(openImage(host, path)).rejects.toThrow('more than 100000 frames');
  });

  it('never makes us crash, whatever its bytes', async () => {
    const magics = ['1f8b08', '504b0304', '504b0506', '28b52ffd', '502a4d18', ''].map((hex) => Buffer.from(hex, 'hex'));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...magics), fc.uint8Array({ maxLength: 600 }), async (magic, bytes) => {
        const memory = createMemoryHost({ files: { '/image': Buffer.concat([magic, bytes]) } });
        try {
          const opened = await openImage(memory, '/image', { maximumBytes: 10 * mebibyte });
          for await (const _ of opened.stream());
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(MigrateError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('never makes us crash, whatever is changed in the directory of a zip archive', async () => {
    const bytes = readFileSync(files['zip64, deflated'] ?? '');
    const start = bytes.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: start, max: bytes.length - 1 }), fc.nat(255)), { minLength: 1 }),
        async (changes) => {
          const changed = Buffer.from(bytes);
          for (const [offset, value] of changes) changed[offset] = value;
          const memory = createMemoryHost({ files: { '/image.zip': changed } });
          try {
            const opened = await openImage(memory, '/image.zip');
            const reader = opened.forward();
            await reader.drain();
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(MigrateError);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('a stream', () => {
  it.each(['gzip', 'zip, stored', 'xz', 'zstd', 'bzip2'])('of %s stops when cancelled', async (name) => {
    const abort = new AbortController();
    await withImage(
      files[name] ?? '',
      async (opened) => {
        const stream = opened.stream();
        await stream.next();
        abort.abort();
        await expect(stream.next()).rejects.toMatchObject({ code: 'cancelled' });
        await expect(opened.stream().next()).rejects.toMatchObject({ code: 'cancelled' });
      },
      { signal: abort.signal },
    );
  });

  it('names the program that is missing', async () => {
    const memory = createMemoryHost({ files: { '/x': readFileSync(files.xz ?? '') } });
    await expect(openImage(memory, '/x')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('xz is not installed'),
    });
  });
});
