// What must be true of the target and of this process before a data root can be written.
import { type Host, type HostReader, MigrateError } from '@migrate/core';
import type { SpaceNeed } from './image-source.ts';

/** Capabilities that the copy needs (include/uapi/linux/capability.h): without them attributes are lost without an error. */
const neededCapabilities = [
  { bit: 0, name: 'CAP_CHOWN' },
  { bit: 1, name: 'CAP_DAC_OVERRIDE' },
  { bit: 3, name: 'CAP_FOWNER' },
  { bit: 21, name: 'CAP_SYS_ADMIN' },
  { bit: 27, name: 'CAP_MKNOD' },
  { bit: 31, name: 'CAP_SETFCAP' },
];
const spaceReserveBytes = 16 * 1024 * 1024;

/** Throws `unsupported` unless this process is the real root: owners, device nodes and trusted.* attributes need it. */
export async function requireRoot(host: HostReader): Promise<void> {
  const why = 'owners, device nodes and overlay attributes cannot be kept otherwise';
  if (host.userId !== 0) throw new MigrateError('unsupported', `this needs root (${why}): run it with sudo`);
  const map = ((await host.readText('/proc/self/uid_map')) ?? '').trim().split(/\s+/);
  if (map.length === 3 && (map[0] !== '0' || map[1] !== '0'))
    throw new MigrateError('unsupported', `this needs the real root, not that of a user namespace (${why})`);
  const [, effective] = /^CapEff:\s*([0-9a-f]+)$/m.exec((await host.readText('/proc/self/status')) ?? '') ?? [];
  if (effective === undefined) return;
  const missing = neededCapabilities.filter(({ bit }) => ((BigInt(`0x${effective}`) >> BigInt(bit)) & 1n) === 0n);
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ');
    throw new MigrateError('unsupported', `this root lacks ${names} (${why}): run it outside of the container`);
  }
}

/** Throws `unsupported` where names that differ by case only are one, as on a case-insensitive file system. */
export async function requireCaseSensitive(host: Host, directory: string): Promise<void> {
  await host.writeNew(`${directory}/case`, new Uint8Array(), { mode: 0o600 });
  const isFolded = (await host.linkStatus(`${directory}/CASE`)) !== undefined;
  await host.removeFile(`${directory}/case`);
  if (isFolded) {
    throw new MigrateError(
      'unsupported',
      `${directory} lies on a case-insensitive file system, which cannot hold layers`,
    );
  }
}

/** Throws `no-space` with the arithmetic where the target is too small. */
export async function requireSpace(host: HostReader, root: string, need: SpaceNeed): Promise<void> {
  const free = await host.freeSpace(root);
  const neededBytes = need.bytes + spaceReserveBytes;
  if (free.availableBytes < neededBytes) {
    throw new MigrateError(
      'no-space',
      `${root} has ${mebibytes(free.availableBytes)} MiB free, the new layers need ${mebibytes(neededBytes)} MiB`,
      { data: { availableBytes: free.availableBytes, neededBytes } },
    );
  }
  // btrfs and others make inodes as needed and report none.
  if (free.availableInodes > 0 && free.availableInodes < need.inodes) {
    throw new MigrateError(
      'no-space',
      `${root} has room for ${free.availableInodes} more files, the new layers need ${need.inodes}`,
    );
  }
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}
