import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';

const controlFile = '/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device';

/** Whether this machine has what limitWrites needs. */
export const canLimitWrites = existsSync(controlFile);

/**
 * Makes a block device take no more than so many bytes a second, direct writes and those through the page cache alike, and
 * returns what lifts the limit. Needs root and the blkio controller of cgroup v1, whose root group has the kernel's own writers
 * (Documentation/admin-guide/cgroup-v1/blkio-controller.rst); in version 2 the root group cannot be limited.
 */
export async function limitWrites(device: string, bytesPerSecond: number): Promise<() => Promise<void>> {
  const { rdev } = await stat(device);
  const number = `${rdev >> 8}:${rdev & 0xff}`;
  await writeFile(controlFile, `${number} ${bytesPerSecond}`);
  const limits = await readFile(controlFile, 'utf8');
  if (!limits.includes(`${number} ${bytesPerSecond}`)) throw new Error(`${device} could not be slowed down`);
  return () => writeFile(controlFile, `${number} 0`);
}
