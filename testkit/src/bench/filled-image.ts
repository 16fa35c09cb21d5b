// An image as full as the ones that people download: the partitions and sizes of a BeagleBone's balenaOS, with programs,
// libraries and documents of this machine in them, about 30 % of it in use.
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';

export interface FilledImage {
  readonly raw: string;
  readonly packed: string;
  readonly sizeBytes: number;
}

const recipe = 4;
const mebibyte = 1024 * 1024;
const sectorBytes = 512;
/** In sectors. Data is in a logical partition, so records of the extended one lie in the gaps. */
const layout = [
  { label: 'resin-boot', start: 8192, size: 81920, type: 'e,bootable' },
  { label: 'resin-rootA', start: 90112, size: 638976, type: '83' },
  { label: 'resin-rootB', start: 729088, size: 638976, type: '83' },
  { label: 'extended', start: 1368064, size: 2162688, type: 'f' },
  { label: 'resin-state', start: 1376256, size: 40960, type: '83' },
  { label: 'resin-data', start: 1425408, size: 2105344, type: '83' },
] as const;
const totalBytes = (1368064 + 2162688) * sectorBytes;

/** The image, built once. Needs no root. */
export async function filledImage(): Promise<FilledImage> {
  const directory = await cached('filled-image', { recipe, layout }, build);
  const raw = join(directory, 'filled.img');
  return { raw, packed: `${raw}.gz`, sizeBytes: (await stat(raw)).size };
}

async function build(directory: string): Promise<void> {
  const image = join(directory, 'filled.img');
  await execa('truncate', ['-s', String(totalBytes), image]);
  const lines = layout.map(({ start, size, type }) => `start=${start},size=${size},type=${type}`);
  await execa('sfdisk', ['-q', image], { input: ['label: dos', 'label-id: 0x5f3b1a2c', ...lines, ''].join('\n') });
  const tree = join(directory, 'tree');
  const boot = { 'device-type.json': '{"slug":"beaglebone-green"}', 'os-release': 'VERSION="5.1.20"\n' };
  await fill(tree, { files: boot, from: '/usr/bin', mib: 20 });
  await makeFat(image, tree);
  await fill(tree, { files: { 'etc/os-release': 'VERSION="5.1.20"\n' }, from: '/usr/lib', mib: 165 });
  await makeExt4(image, { label: 'resin-rootA', tree });
  await fill(tree, {});
  await makeExt4(image, { label: 'resin-rootB', tree });
  await makeExt4(image, { label: 'resin-state', tree });
  await fill(tree, { files: { 'apps.json': '{}\n' }, from: '/usr/share', mib: 138, noiseMib: 30 });
  await makeExt4(image, { label: 'resin-data', tree });
  await rm(tree, { recursive: true });
  await execa('pigz', ['-6', '-n', '-k', image]);
}

interface Filling {
  readonly files?: Readonly<Record<string, string>>;
  /** Files of this machine, in the order of their names, up to so many MiB. */
  readonly from?: string;
  readonly mib?: number;
  readonly noiseMib?: number;
}

async function fill(tree: string, { files = {}, from, mib = 0, noiseMib = 0 }: Filling): Promise<void> {
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { recursive: true });
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), contents);
  }
  if (from !== undefined) {
    const { stdout } = await execa('find', [from, '-xdev', '-type', 'f', '-size', '-8M', '-printf', '%s %p\\n']);
    const chosen: string[] = [];
    let room = mib * mebibyte;
    for (const line of stdout.split('\n').sort(byPath)) {
      const sizeBytes = Number(line.slice(0, line.indexOf(' ')));
      if (sizeBytes > room) continue;
      room -= sizeBytes;
      chosen.push(line.slice(line.indexOf(' ') + 1));
    }
    await execa('cp', ['--parents', '-t', tree, '--', ...chosen.filter((path) => path !== '')]);
  }
  if (noiseMib > 0) await execa('dd', ['if=/dev/urandom', `of=${join(tree, 'noise')}`, 'bs=1M', `count=${noiseMib}`]);
}

function byPath(one: string, other: string): number {
  const [first, second] = [one, other].map((line) => line.slice(line.indexOf(' '))) as [string, string];
  return first < second ? -1 : 1;
}

function partition(label: string) {
  const found = layout.find((entry) => entry.label === label);
  if (found === undefined) throw new Error(`no partition ${label}`);
  return { offset: found.start * sectorBytes, kibibytes: (found.size * sectorBytes) / 1024 };
}

async function makeFat(image: string, tree: string): Promise<void> {
  const { offset, kibibytes } = partition('resin-boot');
  const sectors = String(offset / sectorBytes);
  await execa('mkfs.vfat', ['-F', '16', '-n', 'resin-boot', '--offset', sectors, image, String(kibibytes)]);
  await execa('sh', ['-c', 'mcopy -s -i "$1" "$2"/* ::', 'copy', `${image}@@${offset}`, tree]);
}

/** As the recipes of balenaOS do, with blocks of 1 KiB in small partitions by mke2fs's own choice. */
async function makeExt4(image: string, { label, tree }: { label: string; tree: string }): Promise<void> {
  const { offset, kibibytes } = partition(label);
  const options = ['-q', '-F', '-i', '8192', '-L', label, '-E', `offset=${offset}`, '-d', tree];
  await execa('mkfs.ext4', [...options, image, `${kibibytes}k`]);
}
