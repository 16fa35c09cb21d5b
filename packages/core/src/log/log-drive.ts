// Where stage 2 writes its log while it runs: a partition that is not on the disk to flash.
import type { Disk, DiskPartition, Facts } from '../machine/facts.ts';
import { error } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';

export interface LogDrive {
  /** Under the running system, for people. */
  readonly path: string;
  /** Of its file system, by which stage 2 finds it. */
  readonly uuid: string;
  /** As mount -t takes it; ext4's driver serves ext2 and ext3. */
  readonly fileSystem: 'vfat' | 'ext4';
}

const setting = 'migrate.log.drive';
const drivers: Readonly<Record<string, LogDrive['fileSystem']>> = {
  vfat: 'vfat',
  ext2: 'ext4',
  ext3: 'ext4',
  ext4: 'ext4',
};

type Volume = Pick<DiskPartition, 'path' | 'fileSystem' | 'uuid' | 'label'>;

/** The partition that `migrate.log.drive` names, or why it cannot keep the log. `target` is the disk to flash. */
export function logDrive(facts: Pick<Facts, 'disks'>, named: string, target: Disk | undefined): LogDrive | Finding {
  const found = facts.disks.flatMap((disk) => volumesNamed(disk, named).map((volume) => ({ disk, volume })));
  const [first, ...others] = found;
  if (first === undefined) return unknown(facts, named);
  if (target !== undefined && found.some(({ disk }) => disk.path === target.path))
    return error(
      'log-drive-is-target',
      setting,
      `${named} lies on ${target.path}, which is overwritten`,
      'Name a partition of another disk, or remove the setting: the log is also kept on resin-data, or on this system after a failure',
    );
  const usable = found.flatMap(({ volume }) => {
    const fileSystem = drivers[volume.fileSystem?.type ?? ''];
    const uuid = volume.fileSystem?.uuid;
    return fileSystem === undefined || uuid === undefined ? [] : [{ path: volume.path, uuid, fileSystem }];
  });
  const [drive, ...rest] = usable;
  if (drive === undefined)
    return error(
      'log-drive-file-system',
      setting,
      `${named} has no file system that stage 2 can write the log to (${first.volume.fileSystem?.type ?? 'none known'}${others.length > 0 ? ' and others' : ''})`,
      'Use a partition with FAT or ext4',
    );
  if (rest.length > 0)
    return error(
      'log-drive-ambiguous',
      setting,
      `${named} may be ${usable.map(({ path }) => path).join(' or ')}`,
      'Name one partition',
    );
  if (volumesOf(facts).filter(({ fileSystem }) => fileSystem?.uuid === drive.uuid).length > 1)
    return error(
      'log-drive-ambiguous',
      setting,
      `another partition has the file-system UUID ${drive.uuid} of ${drive.path} too, so stage 2 could take the wrong one`,
      'Give one of them another UUID',
    );
  return drive;
}

/** What a path of /dev means on one disk: a partition, a whole disk with its partitions, or a name that udev gives. */
function volumesNamed(disk: Disk, named: string): readonly Volume[] {
  const volumes = volumesOf({ disks: [disk] });
  if (named === disk.path) return volumes.filter(({ fileSystem }) => fileSystem?.type !== undefined);
  const [, kind, name] = /^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\/(.+)$/.exec(named) ?? [];
  if (kind === undefined || name === undefined) return volumes.filter(({ path }) => path === named);
  const wanted = decodeUdev(name);
  return volumes.filter(({ fileSystem, uuid, label }) => {
    const names = { uuid: fileSystem?.uuid, label: fileSystem?.label, partuuid: uuid, partlabel: label };
    return names[kind as keyof typeof names] === wanted;
  });
}

/** udev writes bytes that are special as "\\x20" (udev(7), SYMLINK). */
function decodeUdev(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function volumesOf({ disks }: Pick<Facts, 'disks'>): readonly Volume[] {
  return disks.flatMap((disk) => [
    ...(disk.fileSystem === undefined ? [] : [{ path: disk.path, fileSystem: disk.fileSystem }]),
    ...disk.partitions,
  ]);
}

function unknown(facts: Pick<Facts, 'disks'>, named: string): Finding {
  const known = volumesOf(facts).map(({ path }) => path);
  return error(
    'log-drive-unknown',
    setting,
    `${named} is not a partition of this machine (${known.join(', ') || 'none is known'})`,
    'Plug it in or correct the name, or remove the setting',
  );
}
