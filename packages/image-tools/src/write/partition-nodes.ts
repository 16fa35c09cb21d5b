// Device nodes of partitions that no table on the disk names yet.
//
// The kernel is told of each partition by itself (addpart, the ioctl BLKPG): that needs neither a table on the disk, which is
// withheld until the end, nor a partition parser, which some kernels lack, nor the loop module, which an initramfs may lack.
import { doing, type Host, type HostReader, MigrateError } from '@migrate/core';
import { blockBytes, type DiskLayout, type PlannedPartition } from './disk-layout.ts';

const nodePauseMs = 100;
const nodePatienceMs = 10_000;

/** Makes the kernel forget the partitions of a disk. Throws `busy` naming one that is in use. */
export async function forgetPartitions(host: Host, disk: string): Promise<void> {
  for (const number of await kernelPartitions(host, disk)) {
    try {
      await host.run('delpart', [disk, String(number)]);
    } catch (thrown) {
      throw new MigrateError('busy', `partition ${number} of ${disk} is in use; unmount it first`, { cause: thrown });
    }
  }
}

/** Runs `action` while every partition of the layout has a node, and makes the kernel forget them after it. */
export async function withPartitionNodes<T>(
  { host, disk, layout }: { host: Host; disk: string; layout: DiskLayout },
  action: (deviceOf: (partition: PlannedPartition) => string) => Promise<T>,
): Promise<T> {
  const name = await kernelName(host, disk);
  const deviceOf = ({ number }: PlannedPartition): string => `/dev/${partitionName(name, number).replaceAll('!', '/')}`;
  const scale = layout.sectorBytes / blockBytes;
  let result: T;
  try {
    for (const { number, startSector, sectors } of layout.partitions) {
      const place = [startSector * scale, sectors * scale].map(String);
      await doing(`telling the kernel of partition ${number}`, 'command-failed', () =>
        host.run('addpart', [disk, String(number), ...place]),
      );
    }
    for (const partition of layout.partitions) await waitForNode(host, deviceOf(partition));
    result = await action(deviceOf);
  } catch (thrown) {
    // What went wrong first is what counts.
    await forgetPartitions(host, disk).catch(() => {});
    throw thrown;
  }
  await forgetPartitions(host, disk);
  return result;
}

async function waitForNode(host: Host, path: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < nodePatienceMs; waitedMs += nodePauseMs) {
    if ((await host.status(path))?.kind === 'block-device') return;
    await new Promise((resolve) => setTimeout(resolve, nodePauseMs));
  }
  throw new MigrateError('not-found', `${path} did not appear within ${nodePatienceMs / 1000} s`);
}

async function kernelPartitions(host: HostReader, disk: string): Promise<readonly number[]> {
  const directory = `/sys/block/${await kernelName(host, disk)}`;
  const numbers: number[] = [];
  for (const name of await host.list(directory)) {
    const text = (await host.readText(`${directory}/${name}/partition`))?.trim();
    if (text !== undefined && /^\d+$/.test(text)) numbers.push(Number(text));
  }
  // Logical partitions before the extended one that holds them.
  return numbers.sort((a, b) => b - a);
}

/** Name of a disk in /sys/block. Throws `wrong-disk` for what is no whole disk. */
export async function kernelName(host: HostReader, disk: string): Promise<string> {
  const path = (await host.realPath(disk)) ?? disk;
  const name = path.replace(/^\/dev\//, '').replaceAll('/', '!');
  if ((await host.list(`/sys/block/${name}`)).length === 0)
    throw new MigrateError('wrong-disk', `${disk} is no whole disk`);
  return name;
}

/** disk_name() of block/genhd.c: a "p" stands between where the disk's name ends with a digit. */
function partitionName(disk: string, number: number): string {
  return `${disk}${/\d$/.test(disk) ? 'p' : ''}${number}`;
}
