import { MigrateError } from '@migrate/core';

/** For what contradicts the format. e2fsck mends most of it, on a copy of the image too. */
export function damaged(why: string): MigrateError {
  return new MigrateError(
    'invalid-input',
    `the ext file system is damaged: ${why}; e2fsck -f tells more and may mend it`,
  );
}

/** For what is sound, but not for this reader. */
export function notReadable(why: string): MigrateError {
  return new MigrateError('unsupported', `the ext file system cannot be read: ${why}`);
}
