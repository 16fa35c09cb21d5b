// Small disks for U-Boot alone: some files on FAT or ext4, and no system.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

export interface SmallPartition {
  readonly fileSystem: 'ext4' | 'vfat';
  /** Undefined ones are not there. */
  readonly files: Readonly<Record<string, string | Uint8Array | undefined>>;
}

export interface SmallDisk {
  readonly firstSector: number;
  readonly partitions: readonly SmallPartition[];
  /** What lies outside of partitions: byte offset and contents. */
  readonly raw?: ReadonlyMap<number, Uint8Array>;
}

const partitionMib = 24;
const diskMib = 64;

/** Writes the disk, raw. */
export async function makeSmallDisk(
  path: string,
  { firstSector, partitions, raw = new Map() }: SmallDisk,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-small-'));
  try {
    const sectors = partitionMib * 2048;
    const starts = partitions.map((_partition, index) => firstSector + index * sectors);
    const lines = starts.map((start) => `start=${start},size=${sectors},type=c`);
    await execa('truncate', ['-s', `${diskMib}M`, path]);
    await execa('sfdisk', ['-q', path], { input: ['label: dos', ...lines, ''].join('\n') });
    for (const [index, partition] of partitions.entries()) {
      const image = join(directory, `${index}`);
      await makeFileSystem(image, partition);
      await execa('dd', [`if=${image}`, ...seekTo(path, (starts[index] ?? 0) * 512)]);
    }
    for (const [offset, bytes] of raw) await execa('dd', seekTo(path, offset), { input: bytes });
  } finally {
    await rm(directory, { recursive: true });
  }
}

function seekTo(path: string, offset: number): string[] {
  return [`of=${path}`, 'bs=64k', 'oflag=seek_bytes', `seek=${offset}`, 'conv=notrunc', 'status=none'];
}

async function makeFileSystem(image: string, { fileSystem, files }: SmallPartition): Promise<void> {
  const tree = `${image}.tree`;
  await mkdir(tree);
  for (const [name, contents] of Object.entries(files)) {
    if (contents === undefined) continue;
    await mkdir(dirname(join(tree, name)), { recursive: true });
    await writeFile(join(tree, name), contents);
  }
  await execa('truncate', ['-s', `${partitionMib}M`, image]);
  if (fileSystem === 'ext4') {
    await execa('mkfs.ext4', ['-q', '-F', '-O', '^metadata_csum,^64bit', '-d', tree, image]);
    return;
  }
  await execa('mkfs.vfat', ['-F', '16', image]);
  if (Object.keys(files).length > 0) await execa('sh', ['-c', 'mcopy -s -i "$1" "$2"/* ::', 'copy', image, tree]);
}
