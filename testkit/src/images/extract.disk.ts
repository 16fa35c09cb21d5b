// balena-extract on images made by sfdisk, mkfs and the kernel, run as a user without any rights; GNU tar as root restores its
// archives, and the kernel says whether the trees are the same.
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, type PartitionName, parseConfig } from '@migrate/core';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { balenaImage, configJson, sha256Of } from '../balena-image.ts';
import { bundleProgram } from '../bench/bundle-program.ts';
import { measure } from '../bench/measure.ts';
import { makeDifficultTree, manifestOf } from './difficult-tree.ts';
import { makeFlasher } from './flasher-image.ts';
import { withMounted } from './mounted.ts';

const nobody = 65534;
const labels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'] as const;
const settingNames: readonly PartitionName[] = ['boot', 'rootA', 'rootB', 'state', 'data'];
const rootPartition = 2;

let directory: string;
let program: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'extract-'));
  await chmod(directory, 0o755);
  program = await bundleProgram('../../../packages/cli-extract/src/main', directory);
  await mkdir(join(directory, 'mounted'));
});
afterAll(() => rm(directory, { recursive: true }));

/** Runs balena-extract as nobody, in a directory of its own. */
async function balenaExtract(args: readonly string[], cwd: string) {
  await mkdir(cwd, { recursive: true });
  await execa('chown', [`${nobody}:${nobody}`, cwd]);
  return execa('node', [program, ...args], { cwd, uid: nobody, gid: nobody, reject: false, stdin: 'ignore' });
}

interface TableEntry {
  readonly start: number;
  readonly size: number;
  readonly type: string;
}

async function tableOf(image: string): Promise<readonly TableEntry[]> {
  const { stdout } = await execa('sfdisk', ['--json', image]);
  return (JSON.parse(stdout) as { partitiontable: { partitions: readonly TableEntry[] } }).partitiontable.partitions;
}

function fsOf(text: string): Extract<Config['balena']['image'], { kind: 'fs' }> {
  const { config, findings } = parseConfig(text, 'snippet.yml');
  expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  if (config?.balena.image?.kind !== 'fs') throw new Error('no balena.image.fs');
  return config.balena.image;
}

describe.each(['mbr', 'gpt'] as const)('an image with %s', (table) => {
  let image: string;
  let partitions: readonly TableEntry[];
  let out: string;
  let fs: ReturnType<typeof fsOf>;
  let stderr: string;

  /** Entries of the five partitions, without the extended one. */
  const five = (): readonly TableEntry[] => partitions.filter(({ type }) => type !== '5');
  const place = (index: number) => {
    const { start = 0, size = 0 } = five()[index] ?? {};
    return { image, offsetBytes: start * 512, sizeBytes: size * 512 };
  };

  beforeAll(async () => {
    const made = await balenaImage({ table, deviceType: 'genericx86-64-ext', payloadMib: 8 });
    image = join(directory, `${table}.img`);
    await execa('cp', ['--sparse=always', made.raw, image]);
    await chmod(image, 0o644);
    partitions = await tableOf(image);
    await withMounted(
      { ...place(rootPartition - 1), directory: join(directory, 'mounted'), readOnly: false },
      makeDifficultTree,
    );
    out = join(directory, `${table}.out`);
    const run = await balenaExtract([image, '-d', 'genericx86-64-ext', '-o', out], out);
    ({ stderr } = run);
    expect({ exitCode: run.exitCode, stderr }).toMatchObject({ exitCode: 0 });
    fs = fsOf(run.stdout);
  });

  it('gives archives from which GNU tar restores the same trees', async () => {
    for (const [index, label] of labels.entries()) {
      if (index === 0) continue;
      const restored = join(directory, `${table}.${label}`);
      await mkdir(restored);
      const archive = join(out, `${label}.tgz`);
      const flags = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--warning=no-timestamp'];
      const unpacking = await execa('tar', [...flags, '-xpzf', archive, '-C', restored]);
      expect(unpacking.stderr).toBe('');
      const expected = await withMounted(
        { ...place(index), directory: join(directory, 'mounted'), readOnly: true },
        manifestOf,
      );
      const found = await manifestOf(restored);
      expect(found.split('\n')).toEqual(expected.split('\n'));
      await rm(restored, { recursive: true });
    }
  });

  it('keeps holes, and says that the socket is left out', async () => {
    const archive = join(out, 'resin-rootA.tgz');
    expect(stderr).toContain('resin-rootA: "./nodes/socket" is left out: a socket');
    const { stdout } = await execa('sh', ['-c', 'gzip -dc "$1" | wc -c', 'count', archive]);
    // 100 MiB of nothing and 20 MB of almost nothing are in it.
    expect(Number(stdout)).toBeLessThan(20 * 1024 * 1024);
  });

  it('has the same boot files as mtools finds', async () => {
    const [ours, theirs] = [join(directory, `${table}.boot`), join(directory, `${table}.mtools`)];
    await mkdir(ours);
    await mkdir(theirs);
    await execa('tar', ['-xpzf', join(out, 'resin-boot.tgz'), '-C', ours]);
    const { offsetBytes } = place(0);
    await execa('sh', ['-c', 'mcopy -s -m -i "$1" "::*" "$2"', 'copy', `${image}@@${offsetBytes}`, theirs], {
      env: { TZ: 'UTC' },
    });
    const list = ['-c', "find . -type f -printf '%p %s %T@\\n' -exec sha256sum {} + | LC_ALL=C sort"];
    const [found, expected] = [await execa('sh', list, { cwd: ours }), await execa('sh', list, { cwd: theirs })];
    expect(found.stdout).toContain('./EFI/BOOT/bootx64.efi');
    expect(found.stdout.split('\n')).toEqual(expected.stdout.split('\n'));
  });

  it('prints the numbers of sfdisk, dumpe2fs, blkid and sha256sum', async () => {
    expect(fs).toMatchObject({
      deviceSlug: 'genericx86-64-ext',
      table,
      check: 'none',
      maxData: true,
      mkfsDirect: false,
    });
    expect(fs.extendedBlocks).toBe(partitions.find(({ type }) => type === '5')?.size);
    for (const [index, name] of settingNames.entries()) {
      const { size, start } = five()[index] ?? {};
      const setting = fs.partitions[name];
      const archive = join(out, `${labels[index]}.tgz`);
      expect(setting).toMatchObject({
        blocks: size,
        startBlock: start,
        archive: { path: `${labels[index]}.tgz`, hash: { algorithm: 'sha256', digest: await sha256Of(archive) } },
      });
      const { stdout } = await execa('blkid', ['-p', '-o', 'export', `--offset=${place(index).offsetBytes}`, image]);
      expect(stdout).toContain(`\nUUID=${setting.fileSystem?.uuid}\n`);
      expect(stdout).toContain(`LABEL=${setting.fileSystem?.label}\n`);
      if (name === 'boot') continue;
      const device = `${image}?offset=${place(index).offsetBytes}`;
      const { stdout: superblock } = await execa('dumpe2fs', ['-h', device]);
      const value = (key: string): string | undefined => new RegExp(`^${key}:\\s+(.*)$`, 'm').exec(superblock)?.[1];
      expect(setting.fileSystem?.inodes).toBe(Number(value('Inode count')));
      expect(setting.fileSystem?.blockBytes).toBe(Number(value('Block size')));
      expect(setting.fileSystem?.inodeBytes).toBe(Number(value('Inode size')));
      expect([...(setting.fileSystem?.features ?? [])].sort()).toEqual(value('Filesystem features')?.split(' ').sort());
    }
  });

  it('makes the same archives of the packed image, and hashes them as asked', async () => {
    const packed = join(directory, `${table}.img.gz`);
    await execa('sh', ['-c', 'pigz -1 -c "$1" >"$2"', 'pack', image, packed]);
    const again = join(directory, `${table}.again`);
    const { stdout, exitCode } = await balenaExtract([packed, '--hash', 'md5'], again);
    expect(exitCode).toBe(0);
    for (const [index, name] of settingNames.entries()) {
      const [first, second] = [join(out, `${labels[index]}.tgz`), join(again, `${labels[index]}.tgz`)];
      expect(await sha256Of(second)).toBe(await sha256Of(first));
      const md5 = (await execa('md5sum', [second])).stdout.split(' ')[0];
      expect(fsOf(stdout).partitions[name].archive.hash).toEqual({ algorithm: 'md5', digest: md5 });
    }
  });
});

describe('a flasher image', () => {
  let flasher: string;
  let raw: string;
  let out: string;

  beforeAll(async () => {
    raw = (await balenaImage({ table: 'gpt', deviceType: 'genericx86-64-ext', payloadMib: 8 })).raw;
    flasher = join(directory, 'flasher.img');
    await makeFlasher(flasher, { inner: raw, deviceType: 'genericx86-64-ext', directory });
    out = join(directory, 'flasher.out');
  });

  it('is recognised, with the image inside of it', async () => {
    const { stdout } = await balenaExtract(['info', flasher, '--json'], out);
    expect(JSON.parse(stdout)).toMatchObject({
      inspection: { kind: 'balena-flasher', deviceType: 'genericx86-64-ext' },
      innerImage: {
        path: '/opt/balena-image-genericx86-64-ext.balenaos-img',
        sizeBytes: (await stat(raw)).size,
        inspection: { kind: 'balena-raw', version: '5.1.20' },
      },
    });
  });

  it.each(['inner.img', 'inner.img.gz', 'inner.img.zst'])('gives its inner image as %s', async (name) => {
    const { exitCode, stdout, stderr } = await balenaExtract([flasher, '--img', name], out);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    const path = join(out, name);
    const unpack = name.endsWith('.gz') ? 'gzip -dc' : name.endsWith('.zst') ? 'zstd -dc' : 'cat';
    const { stdout: hash } = await execa('sh', ['-c', `${unpack} "$1" | sha256sum`, 'unpack', path]);
    expect(hash.split(' ')[0]).toBe(await sha256Of(raw));
    const { config } = parseConfig(stdout, 'snippet.yml');
    expect(config?.balena.image).toEqual({
      kind: 'dd',
      file: { path, hash: { algorithm: 'sha256', digest: await sha256Of(path) } },
      writesUnused: false,
    });
  });

  it('gives config.json, for its owner only, and the GRUB files', async () => {
    const args = [
      '--balena-cfg',
      'config.json',
      '--grub',
      'grub.cfg',
      '--grub-boot',
      'boot.img',
      '--grub-core',
      'core.img',
    ];
    expect(await balenaExtract([flasher, ...args], out)).toMatchObject({ exitCode: 0 });
    expect(await readFile(join(out, 'config.json'), 'utf8')).toBe(configJson('genericx86-64-ext'));
    expect((await stat(join(out, 'config.json'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(out, 'grub.cfg'), 'utf8')).toBe('# of the installed system\n');
    expect(await readFile(join(out, 'boot.img'), 'utf8')).toBe('boot');
    expect(await readFile(join(out, 'core.img'), 'utf8')).toBe('core');
  });

  it('gives the archives of its inner image', async () => {
    const [inner, direct] = [join(directory, 'from-flasher'), join(directory, 'from-raw')];
    await copyFile(raw, join(directory, 'raw.img'));
    const [first, second] = [
      await balenaExtract([flasher], inner),
      await balenaExtract([join(directory, 'raw.img')], direct),
    ];
    expect([first.exitCode, second.exitCode]).toEqual([0, 0]);
    expect(first.stdout).toBe(second.stdout);
    expect(first.stderr).toContain('it is a flasher image');
  });
});

describe('one image prepared offline', () => {
  it('is converted from zip, configured, and found configured', async () => {
    const out = join(directory, 'offline');
    await mkdir(out);
    const { raw } = await balenaImage({ table: 'mbr', deviceType: 'genericx86-64-ext', payloadMib: 8 });
    await execa('zip', ['-q', '-1', '-j', join(out, 'balena.img.zip'), raw]);
    await writeFile(join(out, 'config.json'), configJson('genericx86-64-ext'));
    await writeFile(join(out, 'office'), '[connection]\nid=office\ntype=ethernet\n\n[ipv4]\nmethod=auto\n');
    const steps = [
      ['convert', 'balena.img.zip', 'balena.img'],
      ['configure', 'balena.img', '--config', 'config.json', '--network', 'office'],
      ['balena.img', '--balena-cfg', 'found.json'],
      ['convert', 'balena.img', 'ready.img.gz'],
    ];
    for (const args of steps) {
      const { exitCode, stderr } = await balenaExtract(args, out);
      expect({ args, exitCode, stderr }).toMatchObject({ exitCode: 0 });
    }
    expect(await readFile(join(out, 'found.json'), 'utf8')).toBe(configJson('genericx86-64-ext'));
    const offset = (await tableOf(join(out, 'balena.img')))[0]?.start ?? 0;
    const place = `${join(out, 'balena.img')}@@${offset * 512}`;
    const { stdout } = await execa('mtype', ['-i', place, '::/system-connections/office']);
    expect(stdout).toContain('id=office');
    const unpacked = (await execa('sh', ['-c', 'gzip -dc "$1" | sha256sum', 'unpack', join(out, 'ready.img.gz')]))
      .stdout;
    expect(unpacked.split(' ')[0]).toBe(await sha256Of(join(out, 'balena.img')));
  });
});

describe('memory', () => {
  it('stays below 200 MiB for an image of 8 GiB', async () => {
    const image = join(directory, 'large.img');
    const { raw } = await balenaImage({ table: 'gpt', deviceType: 'genericx86-64-ext', payloadMib: 8 });
    await execa('cp', ['--sparse=always', raw, image]);
    await execa('truncate', ['-s', '8G', image]);
    const start = (await tableOf(raw))[4]?.start ?? 0;
    await execa('sgdisk', ['-e', '-d', '5', '-n', `5:${start}:0`, '-c', '5:resin-data', image]);
    const tree = join(directory, 'large.tree');
    await mkdir(tree);
    await execa('truncate', ['-s', '6G', join(tree, 'sparse')]);
    await execa('dd', ['if=/dev/urandom', `of=${join(tree, 'random')}`, 'bs=1M', 'count=200', 'status=none']);
    const size = (await tableOf(image))[4]?.size ?? 0;
    const where = [`-Eoffset=${start * 512}`, image, `${Math.floor(size / 2)}k`];
    await execa('mkfs.ext4', ['-q', '-F', '-L', 'resin-data', '-d', tree, ...where]);
    const out = join(directory, 'large.out');
    const { peakRssMib } = await measure(`node ${program} ${image} -o ${out}`);
    expect(peakRssMib).toBeLessThanOrEqual(200);
    const { stdout } = await execa('tar', ['-tvzf', join(out, 'resin-data.tgz')]);
    expect(stdout).toMatch(/ 6442450944 .* \.\/sparse$/m);
  });
});

describe('what cannot be extracted', () => {
  it('is refused before anything is written: other disks, files that would be overwritten', async () => {
    const cwd = join(directory, 'refused');
    await mkdir(cwd);
    const empty = join(directory, 'empty.img');
    await execa('truncate', ['-s', '8M', empty]);
    await execa('sfdisk', ['-q', empty], { input: 'label: dos\nstart=2048,size=4096,type=83\n' });
    const other = await balenaExtract([empty, '-d', 'intel-nuc'], cwd);
    expect(other).toMatchObject({ exitCode: 3, stdout: '' });
    expect(other.stderr).toMatch(/it is no image of balenaOS: there is no partition resin-boot, resin-rootA/);
    await writeFile(join(cwd, 'resin-data.tgz'), 'precious');
    const kept = await balenaExtract([empty], cwd);
    expect(kept).toMatchObject({ exitCode: 3 });
    expect(kept.stderr).toContain('would be overwritten: remove them, or use --yes');
    expect((await execa('ls', ['-A', cwd])).stdout).toBe('resin-data.tgz');
    expect(await balenaExtract(['info', join(directory, 'nothing.img')], cwd)).toMatchObject({ exitCode: 4 });
  });

  it('leaves nothing behind where a file system is damaged', async () => {
    const cwd = join(directory, 'damaged');
    const image = join(directory, 'damaged.img');
    const { raw } = await balenaImage({ table: 'gpt', deviceType: 'genericx86-64-ext', payloadMib: 8 });
    await execa('cp', ['--sparse=always', raw, image]);
    const entry = (await tableOf(image))[4];
    // The inode table of resin-data.
    const place = (entry?.start ?? 0) * 512;
    const { stdout } = await execa('dumpe2fs', [`${image}?offset=${place}`]);
    const block = Number(/Inode table at (\d+)/.exec(stdout)?.[1]);
    await execa('dd', [
      'if=/dev/urandom',
      `of=${image}`,
      'bs=1024',
      `seek=${place / 1024 + block}`,
      'count=4',
      'conv=notrunc',
    ]);
    const { exitCode, stderr } = await balenaExtract([image], cwd);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('resin-data') });
    expect((await execa('ls', ['-A', cwd])).stdout).toBe('');
  });

  it('leaves nothing behind where the disk is full', async () => {
    const { raw } = await balenaImage({ table: 'gpt', deviceType: 'genericx86-64-ext', payloadMib: 8 });
    const image = join(directory, 'whole.img');
    await copyFile(raw, image);
    const small = join(directory, 'small');
    await mkdir(small);
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'small', small]);
    try {
      const { exitCode, stderr } = await balenaExtract([image], small);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('ENOSPC') });
      expect((await execa('ls', ['-A', small])).stdout).toBe('');
    } finally {
      await execa('umount', [small]);
    }
  });
});
