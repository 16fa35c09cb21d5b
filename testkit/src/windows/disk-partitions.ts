// The partitions of a disk image, changed by util-linux: what Windows' storage commands do.
import { rm } from 'node:fs/promises';
import { execa } from 'execa';

export interface DiskPartition {
  readonly number: number;
  readonly startByte: number;
  readonly sizeBytes: number;
  /** Lower case, as the GUID of the partition is. */
  readonly typeGuid: string;
  readonly guid: string;
}

const sectorBytes = 512;

/** In the order of their place. */
export async function partitionsOf(disk: string): Promise<{
  readonly diskGuid: string;
  readonly partitions: readonly DiskPartition[];
}> {
  const { stdout } = await execa('sfdisk', ['--json', disk]);
  const { partitiontable: table } = JSON.parse(stdout) as {
    partitiontable: {
      readonly id: string;
      readonly partitions: readonly { node: string; start: number; size: number; type: string; uuid: string }[];
    };
  };
  const partitions = table.partitions.map(({ node, start, size, type, uuid }) => ({
    number: Number(node.slice(disk.length)),
    startByte: start * sectorBytes,
    sizeBytes: size * sectorBytes,
    typeGuid: type.toLowerCase(),
    guid: uuid.toLowerCase(),
  }));
  return { diskGuid: table.id.toLowerCase(), partitions: partitions.sort((a, b) => a.startByte - b.startByte) };
}

export async function addPartition(
  disk: string,
  { startByte, sizeBytes, typeGuid }: { startByte: number; sizeBytes: number; typeGuid: string },
): Promise<DiskPartition> {
  const line = `start=${startByte / sectorBytes}, size=${sizeBytes / sectorBytes}, type=${typeGuid}, name="Basic data partition"`;
  await execa('sfdisk', ['-q', '--append', disk], { input: `${line}\n` });
  const added = (await partitionsOf(disk)).partitions.find((partition) => partition.startByte === startByte);
  if (added === undefined) throw new Error(`sfdisk made no partition at byte ${startByte}`);
  return added;
}

export async function removePartition(disk: string, { number }: DiskPartition): Promise<void> {
  await execa('sfdisk', ['-q', '--delete', disk, String(number)]);
}

/** Changes the entry in the table only. */
export async function resizeEntry(disk: string, { number }: DiskPartition, sizeBytes: number): Promise<void> {
  await execa('sfdisk', ['-q', '-N', String(number), disk], { input: `,${sizeBytes / sectorBytes}\n` });
}

export interface FileSystemSignature {
  /** As blkid names it; empty where it knows none. */
  readonly type: string;
  readonly label: string;
  /** As blkid writes it. */
  readonly uuid: string;
}

export async function signatureOf(
  disk: string,
  { startByte, sizeBytes }: Pick<DiskPartition, 'startByte' | 'sizeBytes'>,
): Promise<FileSystemSignature> {
  const place = ['--probe', '--offset', String(startByte), '--size', String(sizeBytes)];
  const { stdout } = await execa('blkid', [...place, '--output', 'export', disk], { reject: false });
  const field = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  return { type: field('TYPE'), label: field('LABEL'), uuid: field('UUID') };
}

/** Hands the contents of a partition to programs that know no offset, and writes back what they made of them where `keep` says so. */
export async function withContents<T>(
  disk: string,
  { startByte, sizeBytes }: Pick<DiskPartition, 'startByte' | 'sizeBytes'>,
  { keep, act }: { keep: boolean; act: (image: string) => Promise<T> },
): Promise<T> {
  const image = `${disk}.partition`;
  const bytes = ['iflag=skip_bytes,count_bytes', `skip=${startByte}`, `count=${sizeBytes}`];
  try {
    await execa('dd', [`if=${disk}`, `of=${image}`, 'bs=1M', 'conv=sparse', 'status=none', ...bytes]);
    const result = await act(image);
    if (keep) await putContents(disk, { startByte, sizeBytes }, image);
    return result;
  } finally {
    await rm(image, { force: true });
  }
}

/** Fills a partition from an image, which may be shorter. */
export async function putContents(
  disk: string,
  { startByte, sizeBytes }: Pick<DiskPartition, 'startByte' | 'sizeBytes'>,
  image: string,
): Promise<void> {
  // What is zero in the image is not written, so it must be zero before.
  await execa('fallocate', ['--punch-hole', '--offset', String(startByte), '--length', String(sizeBytes), disk]);
  const place = ['oflag=seek_bytes', `seek=${startByte}`, 'conv=notrunc,sparse'];
  await execa('dd', [`if=${image}`, `of=${disk}`, 'bs=1M', 'status=none', ...place]);
}
