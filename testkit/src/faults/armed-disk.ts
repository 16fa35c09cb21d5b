// A disk on which stage 1 has done its work, as a PC has it that is about to restart: made without a machine.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { type BalenaImage, balenaImage } from '../balena-image.ts';
import { bundleName } from '../bundle/bundle.ts';
import { configYaml, fillWorkDirectory, workDirectory } from '../road/road.ts';
import { differences, type FileRecords, fileRecorder } from './file-records.ts';
import { type OldSystem, type OldSystemOptions, openOldSystem } from './old-system.ts';

const deviceType = 'genericx86-64-ext';

export interface ArmedDisk {
  /** Raw image of the disk. */
  readonly path: string;
  readonly image: BalenaImage;
  /** Mounts the old system on the disk, when no machine runs on it. */
  open(): Promise<OldSystem>;
  /** What differs in the old system from before stage 1, after an undo on the mounted disk. */
  differencesAfterUndo(system: OldSystem): Promise<readonly string[]>;
}

export interface ArmedDiskOptions extends Pick<OldSystemOptions, 'sysfs'> {
  /** An empty directory for its files. */
  readonly directory: string;
  /** Lines of the section migrate. */
  readonly extra?: readonly string[];
  /** Changes what stage 1 has written, in the mounted system. */
  readonly change?: (system: OldSystem) => Promise<void>;
}

/** Installs the old system and carries out stage 1 in it. Needs root. */
export async function armDisk({ directory, extra = [], sysfs = {}, change }: ArmedDiskOptions): Promise<ArmedDisk> {
  const share = join(directory, 'share');
  await mkdir(share, { recursive: true });
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 8 });
  await fillWorkDirectory(share, { architecture: 'x64', image, deviceType });
  const first = await openOldSystem({ directory, sysfs });
  let before: FileRecords;
  try {
    const work = join(first.root, workDirectory);
    await execa('cp', ['-a', share, work]);
    await execa('tee', [join(work, 'balena-migrate.yml')], {
      input: configYaml({ extra: ['staging: ram', ...extra] }),
      stdout: 'ignore',
    });
    before = await recordsOf(first);
    const { exitCode, output } = await runMigrate(first, '--mode', 'immediate', '--yes');
    if (exitCode !== 0) throw new Error(`stage 1 ended with status ${exitCode}: ${output}`);
    await change?.(first);
  } finally {
    await first.close();
  }
  return {
    path: first.disk,
    image,
    open: () => openOldSystem({ directory, disk: first.disk, sysfs }),
    differencesAfterUndo: async (system) => {
      const { exitCode, output } = await runMigrate(system, 'undo');
      if (exitCode !== 0) throw new Error(`undo ended with status ${exitCode}: ${output}`);
      return differences(before, await recordsOf(system));
    },
  };
}

/** Runs the bundle's migrate in the work directory of a mounted system. */
export function runMigrate(system: OldSystem, ...args: readonly string[]) {
  return system.run(['/usr/bin/env', '-C', workDirectory, `./${bundleName('x64')}/migrate`, ...args]);
}

function recordsOf({ root }: OldSystem): Promise<FileRecords> {
  return fileRecorder(root, ['boot', 'etc', 'var/lib', 'root'])();
}
