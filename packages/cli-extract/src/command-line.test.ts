import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCommandLine } from './command-line.ts';

let directory: string;
let printed: { out: string; err: string };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-extract-'));
  printed = { out: '', err: '' };
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    printed.err += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
});

const run = (...args: string[]): Promise<number> => runCommandLine(args, new AbortController().signal);

function disk(): string {
  const path = join(directory, 'disk.img');
  const bytes = Buffer.alloc(1024 * 1024);
  bytes[446 + 4] = 0x83;
  bytes.writeUInt32LE(64, 446 + 8);
  bytes.writeUInt32LE(128, 446 + 12);
  bytes.writeUInt16LE(0xaa55, 510);
  writeFileSync(path, bytes);
  return path;
}

describe('balena-extract', () => {
  it('knows its usage, and says it', async () => {
    expect(await run('--help')).toBe(0);
    expect(printed.out).toContain('Exit codes: 0 done, 2 usage');
    expect(await run()).toBe(2);
    expect(await run(disk(), '--hash', 'crc')).toBe(2);
    expect(await run('convert', 'only-one')).toBe(2);
    expect(await run('configure', disk())).toBe(2);
    expect(await run('convert', disk(), join(directory, 'x.gz'), '--level', '12')).toBe(2);
    expect(printed.err).toContain('gzip goes up to 9');
  });

  it('tells what any disk is, for people and for programs', async () => {
    expect(await run('info', disk())).toBe(0);
    expect(printed.out).toContain('unknown: not the partitions of balenaOS');
    printed.out = '';
    expect(await run('info', disk(), '--json')).toBe(0);
    expect(JSON.parse(printed.out)).toMatchObject({
      file: { container: 'raw' },
      inspection: { kind: 'unknown', table: { kind: 'mbr' } },
      partitions: [{ partition: { number: 1 }, problem: 'no known file system' }],
    });
  });

  it('refuses, with the file and a cure, and leaves nothing behind', async () => {
    const image = disk();
    expect(await run(image, '-d', 'intel-nuc', '-o', directory)).toBe(3);
    expect(printed.err).toContain(`${image}: it is no image of balenaOS: there is no partition resin-boot`);
    printed.err = '';
    expect(await run(image, '--img', join(directory, 'x.img.gz'))).toBe(3);
    expect(printed.err).toContain('"balena-extract convert" takes any image');
    expect(await run(image, '--img', join(directory, 'x.iso'))).toBe(3);
    expect(await run(image, '--balena-cfg', join(directory, 'config.json'))).toBe(3);
    expect(readdirSync(directory)).toEqual(['disk.img']);
  });

  it('never overwrites without --yes', async () => {
    const image = disk();
    const kept = join(directory, 'kept.img.gz');
    writeFileSync(kept, 'precious');
    expect(await run('convert', image, kept)).toBe(3);
    expect(printed.err).toContain(`${kept} would be overwritten: remove them, or use --yes`);
    expect(readFileSync(kept, 'utf8')).toBe('precious');
    expect(await run('convert', image, kept, '--yes')).toBe(0);
    expect(printed.out).toContain(`path: ${kept}\n`);
    expect(readFileSync(kept).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });

  it('inflates by either engine to the same image', async () => {
    const [packed, byNode, byZlibSync] = ['a.img.gz', 'node.img', 'zlib-sync.img'].map((name) => join(directory, name));
    const image = disk();
    expect(await run('convert', image, packed ?? '')).toBe(0);
    expect(await run('convert', packed ?? '', byNode ?? '')).toBe(0);
    expect(await run('convert', packed ?? '', byZlibSync ?? '', '--inflate', 'zlib-sync')).toBe(0);
    for (const path of [byNode, byZlibSync]) expect(readFileSync(path ?? '').equals(readFileSync(image))).toBe(true);
    expect(await run('convert', packed ?? '', join(directory, 'x.img'), '--inflate', 'other')).toBe(2);
  });

  it('writes the map of used blocks beside an image, and says how much is in use', async () => {
    const image = disk();
    expect(await run('map', image)).toBe(0);
    expect(printed.out).toContain('1 of 1 MiB are in use, in 1 ranges\npartition 1 counts as used from end to end');
    expect(JSON.parse(readFileSync(`${image}.usedmap.json`, 'utf8'))).toMatchObject({
      image: { sizeBytes: 1024 * 1024 },
    });
    expect(await run('map', image)).toBe(3);
    expect(await run('map', image, '--yes')).toBe(0);
  });

  it('stops when it is interrupted, and leaves nothing behind', async () => {
    const signal = AbortSignal.abort();
    expect(await runCommandLine(['convert', disk(), join(directory, 'x.img.gz')], signal)).toBe(4);
    expect(readdirSync(directory)).toEqual(['disk.img']);
  });
});
