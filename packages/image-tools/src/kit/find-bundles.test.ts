import { gzipSync } from 'node:zlib';
import { createMemoryHost } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { type TarHeader, tarHeader, tarPadding } from '../extract/tar-header.ts';
import { bundleFiles } from './bundle-files.ts';
import { findBundles } from './find-bundles.ts';

/** The start of an ELF file for a machine (e_machine). */
function elf(machine: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write('\x7fELF', 'latin1');
  bytes.writeUInt16LE(machine, 18);
  return bytes;
}

const x64 = 62;
const arm = 40;
const arm64 = 183;
const names = ['migrate', 'app/migrate.js', 'app/stage2.js', 'app/init', 'runtime/node'];

function bundle(directory: string, machine: number): Record<string, Uint8Array | string> {
  const files = Object.fromEntries(names.map((name) => [`${directory}/${name}`, name]));
  return { ...files, [`${directory}/runtime/busybox`]: elf(machine) };
}

function tarGz(members: readonly (Pick<TarHeader, 'type'> & { path: string; contents?: Uint8Array })[]): Buffer {
  const blocks = members.map(({ type, path, contents = new Uint8Array() }) => {
    const header = tarHeader({ type, path: Buffer.from(path), mode: 0o755, sizeBytes: contents.length });
    return Buffer.concat([header, contents, Buffer.alloc(tarPadding(contents.length))]);
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

function archive(machine: number): Buffer {
  const files = Object.entries(bundle('top', machine));
  return tarGz([
    { type: '5', path: 'top/' },
    ...files.map(([path, contents]) => ({ type: '0' as const, path, contents: Buffer.from(contents) })),
  ]);
}

const search = { named: [], places: ['/a', '/b'], architectures: ['aarch64', 'arm'] } as const;

describe('findBundles', () => {
  it('takes directories and archives of all wanted architectures, from the first place that has them', async () => {
    const files = {
      ...bundle('/a/migrate-linux-arm64', arm64),
      '/b/migrate-linux-arm64.tar.gz': archive(arm64),
      '/b/migrate-linux-armv7.tar.gz': archive(arm),
      ...bundle('/b/migrate-linux-x64', x64),
    };
    expect(await findBundles(createMemoryHost({ files }), search)).toEqual({
      bundles: [
        { path: '/a/migrate-linux-arm64', architecture: 'aarch64' },
        { path: '/b/migrate-linux-armv7.tar.gz', architecture: 'arm' },
      ],
      findings: [],
    });
  });

  it.each([
    ['for another machine', { '/x.tar.gz': archive(x64) }, ['/x.tar.gz'], ['bundle-architecture']],
    ['twice', { '/x.tar.gz': archive(arm), '/y.tar.gz': archive(arm) }, ['/x.tar.gz', '/y.tar.gz'], ['bundle-twice']],
    ['that is not there', {}, ['/x'], ['bundle-unreadable']],
    ['that is no archive', { '/x.tar.gz': 'hello' }, ['/x.tar.gz'], ['bundle-unreadable']],
    ['that is cut off', { '/x.tar.gz': archive(arm).subarray(0, -40) }, ['/x.tar.gz'], ['bundle-unreadable']],
    ['without a program', { '/x/migrate': 'x', '/x/runtime/busybox': elf(arm) }, ['/x'], ['bundle-unreadable']],
    ['at all', {}, [], ['bundle-missing']],
  ])('refuses a bundle %s', async (_, files, named, codes) => {
    const found = await findBundles(createMemoryHost({ files }), { ...search, named });
    expect(found.findings.map(({ code }) => code)).toEqual(codes);
  });
});

describe('bundleFiles', () => {
  async function all(members: Parameters<typeof tarGz>[0]): Promise<readonly string[]> {
    const host = createMemoryHost({ files: { '/x.tar.gz': tarGz(members) } });
    const paths: string[] = [];
    for await (const { path } of bundleFiles(host, '/x.tar.gz')) paths.push(path);
    return paths;
  }

  it('leaves out the directory that all lies in', async () => {
    expect(
      await all([
        { type: '5', path: './top/' },
        { type: '0', path: './top/app/init' },
      ]),
    ).toEqual(['app/init']);
  });

  it.each(['top/../../etc/passwd', 'top//etc/passwd', 'top/a\nb', 'top/a\\b', 'top/./a'])(
    'refuses the name %j',
    async (path) => {
      await expect(all([{ type: '0', path }])).rejects.toMatchObject({ code: 'invalid-input' });
    },
  );

  it('refuses links and devices', async () => {
    for (const type of ['1', '2', '3', '6'] as const)
      await expect(all([{ type, path: 'top/a' }])).rejects.toMatchObject({ code: 'invalid-input' });
  });
});
