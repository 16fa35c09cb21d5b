// An ext4 file system inside an image file, changed by e2fsprogs without a mount and without root. They take `FILE?offset=BYTES`.
import { doing, type Host, MigrateError } from '@migrate/core';

export interface Ext4File {
  readonly path: string;
  readonly offsetBytes: number;
}

/** What an ext4 file system says of itself. */
export interface Ext4Figures {
  readonly blockBytes: number;
  readonly blocks: number;
  /** Without what is reserved for root. */
  readonly freeBytes: number;
  /** Part of all blocks that is reserved for root; it stays the same when the file system grows. */
  readonly reservedShare: number;
  readonly freeInodes: number;
  readonly features: readonly string[];
}

const timeoutMs = 6 * 60 * 60 * 1000;

/** Throws `unsupported` for a name that e2fsprogs would read otherwise. */
export function ext4Name({ path, offsetBytes }: Ext4File): string {
  if (path.includes('?'))
    throw new MigrateError('unsupported', `${path}: a name with "?" cannot be used here; rename it`);
  return `${path}?offset=${offsetBytes}`;
}

/** Runs the commands of the file `script` and returns what they say; throws `write-failed` with the first complaint. */
export async function editExt4(host: Host, file: Ext4File, script: string): Promise<string> {
  return doing(`writing into ${file.path}`, 'write-failed', async () => {
    const { stdout, stderr } = await host.run('debugfs', ['-w', '-f', script, ext4Name(file)], { timeoutMs });
    const [complaint] = complaintsOf(stderr);
    if (complaint === undefined) return stdout;
    const isFull = /no space|could not allocate/i.test(complaint);
    throw new MigrateError(isFull ? 'no-space' : 'write-failed', complaint.slice(0, 500));
  });
}

/** Runs the commands of `script` without writing; what it cannot do is passed over. */
export async function readExt4(host: Host, file: Ext4File, script: string): Promise<string> {
  return (await host.run('debugfs', ['-f', script, ext4Name(file)], { timeoutMs })).stdout;
}

/** debugfs ends with 0 whatever happens; all it says on stderr but its name is a failure. */
function complaintsOf(stderr: string): readonly string[] {
  return stderr.split('\n').filter((line) => line.trim() !== '' && !/^debugfs \d/.test(line));
}

/** Throws `invalid-input` unless the file system is clean to the last bit. */
export async function checkExt4(host: Host, file: Ext4File): Promise<void> {
  await doing(`checking the file system at byte ${file.offsetBytes} of ${file.path}`, 'verify-mismatch', async () => {
    await host.run('e2fsck', ['-f', '-n', ext4Name(file)], { timeoutMs });
  });
}

export async function readFigures(host: Host, file: Ext4File): Promise<Ext4Figures> {
  const { stdout } = await host.run('dumpe2fs', ['-h', ext4Name(file)], { timeoutMs });
  const field = (name: string): number => {
    const value = new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(stdout)?.[1];
    if (value === undefined) throw new MigrateError('command-failed', `dumpe2fs does not say "${name}"`);
    return Number(value);
  };
  const blockBytes = field('Block size');
  const [blocks, reserved] = [field('Block count'), field('Reserved block count')];
  return {
    blockBytes,
    blocks,
    freeBytes: Math.max(0, field('Free blocks') - reserved) * blockBytes,
    reservedShare: blocks === 0 ? 0 : Math.min(0.5, reserved / blocks),
    freeInodes: field('Free inodes'),
    features: /^Filesystem features:\s+(.*)$/m.exec(stdout)?.[1]?.split(/\s+/) ?? [],
  };
}

/**
 * Enlarges the file system to `sizeBytes`; its partition must be as large already. It is resized in the file `aside`: resize2fs
 * knows of offsets, but cuts a file off where it takes the file system's end to be.
 */
export async function growExt4(
  host: Host,
  { path, offsetBytes }: Ext4File,
  { formerBytes, sizeBytes, aside }: { formerBytes: number; sizeBytes: number; aside: string },
): Promise<void> {
  const dd = (args: readonly string[]) => host.run('dd', ['bs=1M', 'status=none', ...args], { timeoutMs });
  const flags = 'iflag=skip_bytes,count_bytes';
  await dd([`if=${path}`, `of=${aside}`, flags, `skip=${offsetBytes}`, `count=${formerBytes}`, 'conv=sparse']);
  await host.run('truncate', ['--size', String(sizeBytes), '--', aside], { timeoutMs });
  await host.run('e2fsck', ['-f', '-p', aside], { timeoutMs });
  await host.run('resize2fs', [aside, `${Math.floor(sizeBytes / 1024)}K`], { timeoutMs });
  // Where there is nothing any more, zeros need not be written; not every file system can forget what there was.
  const range = ['--offset', String(offsetBytes), '--length', String(formerBytes)];
  const conversion = await host.run('fallocate', ['--punch-hole', ...range, path]).then(
    () => 'notrunc,sparse',
    () => 'notrunc',
  );
  await dd([`if=${aside}`, `of=${path}`, 'oflag=seek_bytes', `seek=${offsetBytes}`, `conv=${conversion}`]);
  await host.removeFile(aside);
}
