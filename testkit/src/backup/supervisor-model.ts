// What balena's supervisor does with a backup, by balena-supervisor 19.0.5, src/lib/migration.ts (loadBackupFromMigration) and
// src/types/basic.ts (DOCKER_NAME_REGEX): its image is Alpine's without GNU tar, so that `tar` is busybox's.
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

/**
 * Unpacks `backup.tgz` in `dataDirectory` and gives the volumes that it would make, by name: the directory that becomes each.
 * Throws where the supervisor would give up, and try again for ever.
 */
export async function loadBackup(
  dataDirectory: string,
  targetVolumes: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const nameless = targetVolumes.filter((name) => !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) || name.length > 255);
  if (nameless.length > 0) throw new Error(`no release can have the volumes ${nameless.join(', ')}`);
  const backup = join(dataDirectory, 'backup');
  await mkdir(backup);
  await execa('busybox', ['tar', '-xzf', 'backup.tgz', '-C', backup], { cwd: dataDirectory });
  const volumes = new Map<string, string>();
  for (const name of await readdir(backup)) {
    const path = join(backup, name);
    if (!(await stat(path)).isDirectory()) throw new Error(`Invalid backup: ${name} is not a directory`);
    if (!targetVolumes.includes(name))
      throw new Error(`Invalid backup: ${name} is present in backup but not in target state`);
    volumes.set(name, path);
  }
  return volumes;
}
