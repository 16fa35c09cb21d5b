import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import { decompressModule, plainModuleBytes } from './module-decompress.ts';

// The tools and the fuzzing take seconds on a loaded machine.

/** Much like a module: an ELF header, code with calls, text that repeats, and noise. */
const module = makeModule(300_000);

const flavours: readonly (readonly [name: string, extension: string, command: readonly string[]])[] = [
  ['the kernel build', 'xz', ['xz', '--check=crc32', '--lzma2=dict=1MiB']],
  ['the kernel image', 'xz', ['xz', '--check=crc32', '--x86', '--lzma2=dict=32MiB']],
  ['x86 from an offset', 'xz', ['xz', '--check=crc32', '--x86=start=4096', '--lzma2=preset=6']],
  ['plain xz', 'xz', ['xz']],
  ['fastest xz', 'xz', ['xz', '-0']],
  ['best xz', 'xz', ['xz', '-9e']],
  ['xz with SHA-256', 'xz', ['xz', '--check=sha256']],
  ['xz without check', 'xz', ['xz', '--check=none']],
  ['xz in blocks', 'xz', ['xz', '--check=crc32', '--block-size=65536']],
  ['xz in blocks by threads', 'xz', ['xz', '-T2', '--block-size=100000']],
  ['other literal contexts', 'xz', ['xz', '--lzma2=preset=6,lc=1,lp=3,pb=0']],
  ['positions of four bits', 'xz', ['xz', '--lzma2=preset=6,lc=0,lp=4,pb=4']],
  ['zstd', 'zst', ['zstd', '-q']],
  ['best zstd', 'zst', ['zstd', '-q', '-19']],
  ['zstd without sizes', 'zst', ['zstd', '-q', '--no-content-size', '--no-check']],
  ['gzip', 'gz', ['gzip', '-n']],
];

describe('decompressModule', () => {
  it.each(flavours)('unpacks what %s makes', async (_name, extension, command) => {
    const packed = pipe(command, module);
    const path = `/lib/modules/1/x.ko.${extension}`;
    expect(packed.length).toBeLessThan(module.length);
    expect(Buffer.from(await decompressModule(path, packed)).equals(module)).toBe(true);
    expect(await plainModuleBytes(path, packed)).toBe(module.length);
  });

  it('takes a plain module as it is', async () => {
    expect(await decompressModule('/x.ko', module)).toBe(module);
    expect(await plainModuleBytes('/x.ko', module)).toBe(module.length);
  });

  it.each([
    ['xz', ['xz', '-0', '--check=crc32']],
    ['zst', ['zstd', '-q', '-1']],
    ['gz', ['gzip', '-1']],
  ])('stops a .%s that unpacks to more than 64 MiB', async (extension, command) => {
    const bomb = pipe(command, Buffer.alloc(65 * 2 ** 20));
    await expect(decompressModule(`/x.ko.${extension}`, bomb)).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringContaining(`/x.ko.${extension}`),
    });
  });

  it('stops a .zst that hides its size, and one that wants a huge window', async () => {
    const bomb = pipe(['zstd', '-q', '--no-content-size'], Buffer.alloc(65 * 2 ** 20));
    await expect(decompressModule('/x.ko.zst', bomb)).rejects.toThrow(/more than 67108864 bytes/);
    const huge = Buffer.from(bomb);
    huge[5] = 0xf8;
    await expect(decompressModule('/x.ko.zst', huge)).rejects.toThrow(/window of/);
  });

  it('refuses what is no module', async () => {
    await expect(decompressModule('/x.ko.gz', gzipSync('text'))).rejects.toThrow(
      /\/x\.ko\.gz .*reinstall.*no kernel module/,
    );
    await expect(decompressModule('/x.ko.lz4', module)).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('damaged files', () => {
  const small = makeModule(20_000);
  it.each([
    ['xz', pipe(['xz', '--check=crc32', '--x86', '--lzma2=dict=1MiB'], small)],
    ['gz', pipe(['gzip'], small)],
  ])('a changed byte in a .%s is never taken for the module', async (extension, packed) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = Buffer.from(packed);
        damaged[at] = (damaged[at] ?? 0) ^ change;
        const result = await decompressModule(`/x.ko.${extension}`, damaged).catch((thrown: unknown) => thrown);
        // Bytes that carry no meaning (time in a gzip header) leave the contents right.
        const isRight = result instanceof Uint8Array && Buffer.from(result).equals(small);
        expect(isRight || (result instanceof MigrateError && result.code === 'invalid-input')).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ['xz', pipe(['xz', '--check=crc32'], small)],
    ['zst', pipe(['zstd', '-q'], small)],
    ['gz', pipe(['gzip'], small)],
  ])('a .%s cut anywhere is refused', async (extension, packed) => {
    for (let length = 0; length < packed.length; length += 37) {
      const cut = packed.subarray(0, length);
      await expect(decompressModule(`/x.ko.${extension}`, cut)).rejects.toMatchObject({ code: 'invalid-input' });
    }
  });

  it.each(['xz', 'zst'])(
    'a changed .%s ends in an error of ours or in bounded output, whatever is changed',
    async (extension) => {
      const packed = pipe(extension === 'xz' ? ['xz', '--check=none'] : ['zstd', '-q'], small);
      await fc.assert(
        fc.asyncProperty(
          fc.nat(packed.length - 1),
          fc.uint8Array({ minLength: 1, maxLength: 8 }),
          async (at, changes) => {
            const damaged = Buffer.from(packed);
            damaged.set(changes.subarray(0, packed.length - at), at);
            const result = await decompressModule(`/x.ko.${extension}`, damaged).catch((thrown: unknown) => thrown);
            expect(result instanceof Uint8Array || result instanceof MigrateError).toBe(true);
          },
        ),
        { numRuns: 200 },
      );
    },
  );
});

function makeModule(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  bytes.write('\x7fELF', 'latin1');
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 16;
  };
  for (let i = 64; i < sizeBytes - 64; ) {
    const choice = random() % 8;
    if (choice < 3) {
      // CALL and JMP, near each other and with targets of both signs.
      bytes[i] = 0xe8 + (random() % 2);
      bytes.writeInt32LE(((random() << 8) | (random() & 0xff)) * (random() % 2 === 0 ? 1 : -1), i + 1);
      i += 1 + (random() % 6);
    } else if (choice < 6) {
      i += bytes.write(`symbol_${random() % 50}_init_module`, i, 'latin1');
    } else {
      bytes[i] = random();
      i += 1;
    }
  }
  return bytes;
}

function pipe(command: readonly string[], input: Uint8Array): Buffer {
  const [program = '', ...args] = command;
  const result = spawnSync(program, [...args, '-c'], { input, maxBuffer: 2 ** 28 });
  if (result.status !== 0) throw new Error(`${command.join(' ')}: ${result.error ?? result.stderr}`);
  return result.stdout;
}
