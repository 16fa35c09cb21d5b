import { type Host, MigrateError } from '@migrate/core';

/** Writes one sector of a disk, durable, and reads it back. */
export async function writeSector(
  { host, diskPath }: { readonly host: Host; readonly diskPath: string },
  { startByte, bytes }: { readonly startByte: number; readonly bytes: Uint8Array },
): Promise<void> {
  const disk = await host.openDisk(diskPath);
  try {
    await disk.write(bytes, startByte);
    await disk.flush();
    await host.dropCaches();
    const found = Buffer.alloc(bytes.length);
    await disk.read(found, startByte);
    if (!found.equals(Buffer.from(bytes)))
      throw new MigrateError('verify-mismatch', `the disk did not keep the sector at byte ${startByte}`);
  } finally {
    await disk.close();
  }
}
