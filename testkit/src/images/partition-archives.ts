// Archives of balenaOS-shaped partitions, made from mounted trees with GNU tar, and the setting that names them.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FsImageSetting, PartitionName } from '@migrate/core';
import { execa } from 'execa';
import { mountImage, unmountImage } from '../loop-device.ts';

export interface PartitionArchives {
  readonly setting: FsImageSetting;
  /** What describeTree says of each tree as it was. */
  readonly trees: Readonly<Record<PartitionName, string>>;
}

const mebibyte = 1024 * 1024;
const sizesMib = { boot: 20, rootA: 48, rootB: 16, state: 20, data: 32 } as const;

/** Archives and snapshots of their trees in `directory`. */
export async function makePartitionArchives(directory: string, table: 'mbr' | 'gpt'): Promise<PartitionArchives> {
  const trees: Partial<Record<PartitionName, string>> = {};
  const partition = async (name: PartitionName, fill: (tree: string) => Promise<void>) => {
    const archive = join(directory, `resin-${name}.tgz`);
    trees[name] = await makeArchive({ archive, sizeMib: sizesMib[name], isPlain: name === 'boot', fill });
    const digest = createHash('sha256')
      .update(await readFile(archive))
      .digest('hex');
    return {
      blocks: (sizesMib[name] * mebibyte) / 512,
      archive: { path: archive, hash: { algorithm: 'sha256' as const, digest } },
    };
  };
  const setting: FsImageSetting = {
    kind: 'fs',
    deviceSlug: table === 'mbr' ? 'beaglebone-green' : 'generic-amd64',
    check: 'none',
    maxData: false,
    mkfsDirect: false,
    partitions: {
      boot: await partition('boot', fillBoot),
      rootA: await partition('rootA', fillRoot),
      rootB: await partition('rootB', async () => {}),
      state: await partition('state', async (tree) => writeFile(join(tree, 'state.json'), '{}\n')),
      data: await partition('data', fillData),
    },
  };
  return { setting, trees: trees as PartitionArchives['trees'] };
}

/** Everything of a tree that an archive keeps, as comparable text: kinds, modes, owners, times, contents, attributes, links. */
export async function describeTree(directory: string, depth: 'all' | 'contents' = 'all'): Promise<string> {
  const run = async (command: string, args: readonly string[]): Promise<string> =>
    (await execa(command, args, { cwd: directory, env: { LC_ALL: 'C' }, encoding: 'latin1' })).stdout;
  const hashes = await run('find', ['.', '-type', 'f', '-exec', 'sha256sum', '{}', '+']);
  const lines = hashes.split('\n');
  if (depth === 'all') {
    const form = '%P|%y|%m|%U|%G|%T@|%n|%l';
    lines.push(...(await run('find', ['.', '-printf', `${form}\\n`])).split('\n'));
    lines.push(...(await run('find', ['.', '-type', 'f', '-printf', '%P|size %s\\n'])).split('\n'));
    lines.push(
      ...(
        await run('find', [
          '.',
          '(',
          '-type',
          'b',
          '-o',
          '-type',
          'c',
          ')',
          '-exec',
          'stat',
          '-c',
          '%n %t:%T',
          '{}',
          '+',
        ])
      ).split('\n'),
    );
    const attributes = await run('getfattr', [
      '--recursive',
      '--physical',
      '--no-dereference',
      '--dump',
      '--match=-',
      '--encoding=hex',
      '.',
    ]);
    lines.push(...attributes.split('\n\n').map((block) => block.trim()));
  }
  return lines.sort().join('\n');
}

async function makeArchive({
  archive,
  sizeMib,
  isPlain,
  fill,
}: {
  archive: string;
  sizeMib: number;
  isPlain: boolean;
  fill: (tree: string) => Promise<void>;
}): Promise<string> {
  const tree = `${archive}.tree`;
  const image = `${archive}.ext4`;
  await mkdir(tree);
  if (!isPlain) {
    await execa('truncate', ['-s', `${sizeMib}M`, image]);
    await execa('mkfs.ext4', ['-q', '-F', image]);
    await mountImage(image, tree);
  }
  try {
    await fill(tree);
    const attributes = isPlain ? [] : ['--xattrs', '--xattrs-include=*', '--acls'];
    const args = ['--format=posix', '--numeric-owner', '--sparse', ...attributes, '-czf', archive, '-C', tree, '.'];
    await execa('tar', args);
    return await describeTree(tree, isPlain ? 'contents' : 'all');
  } finally {
    if (!isPlain) await unmountImage(tree);
    await rm(tree, { recursive: true });
    await rm(image, { force: true });
  }
}

async function fillBoot(tree: string): Promise<void> {
  await mkdir(join(tree, 'EFI/BOOT'), { recursive: true });
  await mkdir(join(tree, 'system-connections'));
  await writeFile(join(tree, 'EFI/BOOT/BOOTX64.EFI'), Buffer.alloc(3 * mebibyte, 'efi'));
  await writeFile(join(tree, 'device-type.json'), '{"slug":"generic-amd64"}\n');
  await writeFile(join(tree, 'system-connections/a long name [5G].ignore'), 'x');
  await writeFile(join(tree, 'empty'), '');
}

/** The cases that restoring programs get wrong. */
async function fillRoot(tree: string): Promise<void> {
  const at = (...parts: string[]): string => join(tree, ...parts);
  const run = (command: string, ...args: string[]) => execa(command, args, { cwd: tree });
  await mkdir(at('usr/bin'), { recursive: true });
  await writeFile(at('usr/bin/ping'), 'a program', { mode: 0o755 });
  await run(
    'setfattr',
    '-n',
    'security.capability',
    '-v',
    '0x0100000200200000000000000000000000000000',
    'usr/bin/ping',
  );
  await writeFile(at('usr/bin/su'), 'another');
  await run('chmod', '4755', 'usr/bin/su');
  await run('ln', 'usr/bin/su', 'usr/bin/sudo');
  await run('ln', '-s', '/usr/bin', 'bin');
  await run('ln', '-s', `${'long/'.repeat(40)}target`, 'long-link');
  await run('ln', 'long-link', 'link-to-link');
  await mkdir(at('dev'));
  await run('mknod', 'dev/console', 'c', '5', '1');
  await run('mknod', 'dev/sda', 'b', '8', '0');
  await run('mknod', 'dev/odd', 'c', '300', '70000');
  await run('mkfifo', 'dev/fifo');
  await mkdir(at('opaque'));
  await run('setfattr', '-n', 'trusted.overlay.opaque', '-v', 'y', 'opaque');
  await run('setfattr', '-n', 'user.note', '-v', 'x'.repeat(500), 'opaque');
  await writeFile(at('shared'), 'shared');
  await run('setfacl', '-m', 'u:1234:rw', 'shared');
  await run('setfacl', '-d', '-m', 'g:77:rx', 'opaque');
  await run('truncate', '-s', '64M', 'sparse');
  await run('dd', 'if=/dev/urandom', 'of=sparse', 'bs=4096', 'count=3', 'seek=5000', 'conv=notrunc');
  await run('chown', '231072:4000000000', 'shared');
  await writeFile(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0x66, 0xff, 0x0a, 0x6f])]), 'not UTF-8');
  await writeFile(at('n'.repeat(255)), 'long name');
  const deep = at(...Array.from({ length: 10 }, (_, index) => `${'d'.repeat(40)}${index}`));
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, 'deep'), 'deep');
  await writeFile(at('old'), 'old');
  await run('touch', '-d', '1965-01-02 03:04:05.123456789', 'old');
  await writeFile(at('far'), 'far');
  await run('touch', '-d', '2040-01-02 03:04:05.5', 'far');
}

async function fillData(tree: string): Promise<void> {
  await mkdir(join(tree, 'docker'));
  await execa('dd', ['if=/dev/urandom', `of=${join(tree, 'docker/layer')}`, 'bs=1M', 'count=4']);
  for (let index = 0; index < 300; index += 1) await writeFile(join(tree, 'docker', `file-${index}`), `${index}`);
}
