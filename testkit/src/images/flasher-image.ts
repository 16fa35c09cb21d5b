// Flasher images: a boot partition, and a root file system with the image to install in /opt.
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { configJson } from '../balena-image.ts';

export interface FlasherOptions {
  /** The image inside. */
  readonly inner: string;
  readonly deviceType: string;
  /** For temporary files. */
  readonly directory: string;
}

const bootMib = 40;
const startMib = 4;
const mebibyte = 1024 * 1024;

/** Builds a flasher image as meta-balena lays it out, with files that tell who put them there. */
export async function makeFlasher(image: string, { inner, deviceType, directory }: FlasherOptions): Promise<void> {
  const tree = join(directory, 'flasher.tree');
  await mkdir(join(tree, 'boot/grub'), { recursive: true });
  await mkdir(join(tree, 'root/opt'), { recursive: true });
  const artifact = `balena-image-flasher-${deviceType}.balenaos-img`;
  const files: Record<string, string> = {
    'balena-image-flasher': '',
    'device-type.json': JSON.stringify({ slug: deviceType, yocto: { machine: deviceType, deployArtifact: artifact } }),
    'config.json': configJson(deviceType),
    'grub.cfg_internal': '# of the installed system\n',
    'grub/boot.img': 'boot',
    'grub/core.img': 'core',
  };
  for (const [path, contents] of Object.entries(files)) await writeFile(join(tree, 'boot', path), contents);
  await execa('cp', ['--sparse=always', inner, join(tree, 'root/opt', artifact.replace('flasher-', ''))]);
  const rootMib = Math.ceil((await stat(inner)).size / mebibyte) + 64;

  const [boot, root] = [join(directory, 'flash-boot'), join(directory, 'flash-root')];
  await execa('truncate', ['-s', `${bootMib}M`, boot]);
  await execa('mkfs.vfat', ['-F', '16', '-n', 'flash-boot', boot]);
  await execa('sh', ['-c', 'mcopy -s -i "$1" "$2"/* ::', 'copy', boot, join(tree, 'boot')]);
  await execa('truncate', ['-s', `${rootMib}M`, root]);
  await execa('mkfs.ext4', ['-q', '-F', '-L', 'flash-rootA', '-d', join(tree, 'root'), root]);
  await execa('truncate', ['-s', `${startMib + bootMib + rootMib + 1}M`, image]);
  const line = (start: number, size: number, type: string): string =>
    `start=${start * 2048},size=${size * 2048},type=${type}`;
  const script = [line(startMib, bootMib, 'e'), line(startMib + bootMib, rootMib, '83'), ''].join('\n');
  await execa('sfdisk', ['-q', image], { input: `label: dos\n${script}` });
  for (const [part, place] of [
    [boot, startMib],
    [root, startMib + bootMib],
  ] as const)
    await execa('dd', [`if=${part}`, `of=${image}`, 'bs=1M', `seek=${place}`, 'conv=notrunc,sparse', 'status=none']);
  for (const path of [tree, boot, root]) await rm(path, { recursive: true });
}
