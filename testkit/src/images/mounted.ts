import { mkdir } from 'node:fs/promises';
import { execa } from 'execa';
import { attachLoop, detachLoop, mountLoop } from '../loop-device.ts';

/** Mounts a part of an image at `directory` while `use` runs. Needs root; no partition nodes, which not every kernel makes. */
export async function withMounted<T>(
  request: { image: string; offsetBytes: number; sizeBytes: number; directory: string; readOnly: boolean },
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const { image, offsetBytes, sizeBytes, directory, readOnly } = request;
  await mkdir(directory, { recursive: true });
  const part = [`--offset=${offsetBytes}`, `--sizelimit=${sizeBytes}`];
  const device = await attachLoop(image, ...part, ...(readOnly ? ['--read-only'] : []));
  try {
    await mountLoop(device, directory, '-t', 'ext4', '-o', readOnly ? 'ro,noload' : 'rw');
    try {
      return await use(directory);
    } finally {
      await execa('umount', [directory]);
    }
  } finally {
    await detachLoop(device);
  }
}
