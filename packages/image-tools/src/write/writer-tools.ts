import { type FsImageSetting, type Host, MigrateError, messageOf } from '@migrate/core';

/** What the writer runs, each with arguments that only make it speak: what a payload for it must hold. */
const writerTools: readonly (readonly [command: string, ...args: string[]])[] = [
  ['tar', '--version'],
  ['sfdisk', '--version'],
  ['addpart', '--version'],
  ['delpart', '--version'],
  ['mkfs.ext4', '-V'],
  ['e2fsck', '-V'],
  ['mkfs.vfat', '--help'],
  ['fsck.vfat', '--help'],
  ['mcopy', '--version'],
  ['mmd', '--version'],
];

/**
 * Programs that the writer needs beyond what busybox has (mount, umount, sync, env). `badblocks` is needed with `check` only;
 * mke2fs starts it through `sh`.
 */
export const writerPrograms: readonly string[] = [...writerTools.map(([command]) => command), 'badblocks'];

/**
 * Throws `not-found` for a program that is missing, and `unsupported` for a tar that would lose something: busybox's knows no
 * extended attributes, and GNU tar can be built without them.
 */
export async function checkWriterTools(host: Host, { check }: Pick<FsImageSetting, 'check'>): Promise<void> {
  for (const [command, ...args] of writerTools) await speaks(host, command, args);
  if (check !== 'none') await speaks(host, 'badblocks', []);
  const { stdout } = await host.run('tar', ['--version']);
  if (!stdout.startsWith('tar (GNU tar)')) {
    throw new MigrateError(
      'unsupported',
      `tar is ${JSON.stringify(stdout.split('\n')[0])}; GNU tar is needed, others lose extended attributes`,
    );
  }
  // It warns here, and exits with 0, where it was built without them.
  const nothing = ['--create', '--file=/dev/null', '--files-from=/dev/null', '--xattrs', '--acls'];
  const { stderr } = await host.run('tar', nothing);
  if (stderr.trim() !== '')
    throw new MigrateError('unsupported', `this tar cannot keep extended attributes: ${stderr.trim()}`);
}

async function speaks(host: Host, command: string, args: readonly string[]): Promise<void> {
  try {
    await host.run(command, args);
  } catch (thrown) {
    // A status that it gives for want of arguments is as good as a word; only what never started has none.
    if (thrown instanceof MigrateError && thrown.data.exitStatus !== null) return;
    throw new MigrateError('not-found', `the program ${command} is missing: ${messageOf(thrown)}`, { cause: thrown });
  }
}
