import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

const mebibyte = 1024 * 1024;
const partitionMib = 2;
const labels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];

/** An image of 14 MiB and resin-data that is shaped like balenaOS for a Raspberry Pi (MBR); nothing in it would start. */
export async function makeTinyImage(path: string, deviceType: string, { dataMib = partitionMib } = {}): Promise<void> {
  const starts = labels.map((_, index) => 1 + index * (partitionMib + 1));
  const sizes = labels.map((label) => (label === 'resin-data' ? dataMib : partitionMib));
  const extendedMib = partitionMib + dataMib + 2;
  const [extended = 0] = starts.slice(3);
  const sectors = (mib: number): number => mib * 2048;
  const lines = starts.map((mib, index) => {
    const type = index === 0 ? 'c' : '83';
    return `start=${sectors(mib)},size=${sectors(sizes[index] ?? 0)},type=${type}`;
  });
  lines.splice(3, 0, `start=${sectors(extended) - 2048},size=${sectors(extendedMib)},type=5`);
  await writeFile(path, '');
  await truncate(path, (14 + dataMib) * mebibyte);
  await execa('sfdisk', ['-q', path], { input: ['label: dos', 'label-id: 0x7a7a7a7a', ...lines, ''].join('\n') });
  const work = await mkdtemp(join(tmpdir(), 'tiny-image-'));
  try {
    for (const [index, label] of labels.entries()) {
      const part = join(work, label);
      await (index === 0 ? makeBoot(part, deviceType) : makeExt4(part, label, sizes[index] ?? 0));
      await execa('dd', [
        `if=${part}`,
        `of=${path}`,
        'bs=1M',
        `seek=${starts[index] ?? 0}`,
        'conv=notrunc',
        'status=none',
      ]);
    }
  } finally {
    await rm(work, { recursive: true });
  }
}

async function makeBoot(part: string, deviceType: string): Promise<void> {
  await writeFile(part, '');
  await truncate(part, partitionMib * mebibyte);
  await execa('mkfs.vfat', ['-n', 'resin-boot', part]);
  const files = {
    'device-type.json': JSON.stringify({ slug: deviceType, name: deviceType, arch: 'armv7hf' }),
    'os-release': 'ID="balena-os"\nVERSION="5.1.20"\nPRETTY_NAME="balenaOS 5.1.20"\n',
  };
  for (const [name, text] of Object.entries(files))
    await execa('mcopy', ['-i', part, '-', `::${name}`], { input: text });
}

async function makeExt4(part: string, label: string, sizeMib: number): Promise<void> {
  await execa('mkfs.ext4', ['-q', '-L', label, part, `${sizeMib}M`]);
}
