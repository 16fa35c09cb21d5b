// The same machine as the parts of planning see it that know no Windows.
import { type Disk, type DiskPartition, type Facts, quoted } from '@migrate/core';
import type { WindowsDisk, WindowsFacts, WindowsVolumePartition } from '../facts/windows-facts.ts';
import type { BootParts } from './boot-parts.ts';

/** Facts of the machine with the kernel that stage 2 will run on; nothing is mounted in Linux's sense. */
export function coreFacts(windows: WindowsFacts, boot: BootParts | undefined): Facts {
  const { name, displayVersion, build } = windows.os;
  return {
    version: 1,
    userId: windows.isAdministrator ? 0 : -1,
    hostname: windows.hostname,
    os: {
      id: 'windows',
      versionId: displayVersion ?? String(build ?? ''),
      prettyName: [name, displayVersion, build === undefined ? undefined : `build ${build}`]
        .filter((part) => part !== undefined)
        .join(' '),
      idLike: [],
    },
    kernel: {
      release: boot === undefined ? 'of the bundle' : `${boot.release} of the bundle`,
      architecture: windows.architecture,
      commandLine: '',
      ...(boot === undefined ? {} : { image: boot.kernel }),
    },
    userland: windows.architecture,
    memory: windows.memory,
    firmware:
      windows.firmware === 'bios'
        ? { kind: 'bios' }
        : {
            kind: 'uefi',
            bits: 64,
            ...(windows.secureBoot === undefined ? {} : { secureBoot: windows.secureBoot }),
            variablesReadable: true,
            bootOrder: [],
            bootEntries: [],
          },
    hardware: windows.hardware,
    disks: windows.disks.map(coreDisk),
    mounts: [],
    swaps: [],
    places: [],
    bootFiles: [],
    modules: { needed: boot?.modules ?? [], missing: [] },
    inContainer: false,
  };
}

/**
 * The disk as stage 2 can find it again: by size, sector size and table. Windows writes serial numbers in another form than Linux, so
 * they are left out.
 */
export function coreDisk(disk: WindowsDisk): Disk {
  const name = `PhysicalDrive${disk.number}`;
  return {
    name,
    path: `\\\\.\\${name}`,
    device: '',
    sizeBytes: disk.sizeBytes,
    logicalSectorSize: disk.logicalSectorBytes,
    isReadOnly: disk.isReadOnly,
    isRemovable: disk.bus === 'USB',
    ...(disk.model === undefined ? {} : { model: disk.model }),
    ...(disk.table === 'gpt' && disk.guid !== undefined ? { table: { kind: 'gpt', id: disk.guid } } : {}),
    holders: [],
    partitions: disk.partitions.map((partition) => corePartition(disk, partition)),
  };
}

function corePartition(disk: WindowsDisk, partition: WindowsVolumePartition): DiskPartition {
  const { number, driveLetter, volume } = partition;
  const path = driveLetter === undefined ? `partition ${number}` : `${driveLetter}:`;
  return {
    name: `disk ${disk.number} partition ${number}`,
    path,
    device: '',
    number,
    startByte: partition.offsetBytes,
    sizeBytes: partition.sizeBytes,
    ...(partition.guid === undefined ? {} : { uuid: partition.guid }),
    ...(partition.type === undefined ? {} : { type: partition.type }),
    ...(volume === undefined || volume.fileSystem === ''
      ? {}
      : {
          fileSystem: {
            type: /^FAT/i.test(volume.fileSystem) ? 'vfat' : volume.fileSystem.toLowerCase(),
            ...(volume.uuid === undefined ? {} : { uuid: volume.uuid }),
            ...(volume.label === '' ? {} : { label: volume.label }),
          },
        }),
    holders: [],
  };
}

export function nameOfDisk({ number, model }: WindowsDisk): string {
  return model === undefined ? `disk ${number}` : `disk ${number} (${quoted(model)})`;
}
