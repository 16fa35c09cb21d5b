import { mkdir } from 'node:fs/promises';
import { execa } from 'execa';

/** Mounts a part of an image at `directory` while `use` runs. Needs root; no partition nodes, which not every kernel makes. */
export async function withMounted<T>(
  request: { image: string; offsetBytes: number; sizeBytes: number; directory: string; readOnly: boolean },
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const { image, offsetBytes, sizeBytes, directory, readOnly } = request;
  await mkdir(directory, { recursive: true });
  const { stdout: device } = await execa('losetup', [
    ...(readOnly ? ['--read-only'] : []),
    `--offset=${offsetBytes}`,
    `--sizelimit=${sizeBytes}`,
    '--find',
    '--show',
    image,
  ]);
  try {
    await execa('mount', ['-t', 'ext4', '-o', readOnly ? 'ro,noload' : 'rw', device, directory]);
    try {
      return await use(directory);
    } finally {
      await execa('umount', [directory]);
    }
  } finally {
    await execa('losetup', ['--detach', device]);
  }
}
