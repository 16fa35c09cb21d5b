import { type BootManager, bootManagerOf, type Device } from '../machine/device.ts';
import {
  type Disk,
  type DiskPartition,
  type Facts,
  type Mount,
  mountOf,
  type Place,
  partitionOf,
} from '../machine/facts.ts';
import { isKernelOlder } from '../machine/kernel.ts';
import { isTested, testedSystems } from '../machine/operating-systems.ts';
import type { Finding } from './finding.ts';

/** Oldest kernel that the bundled runtime starts on (glibc 2.36 asks for 3.2.0). */
const oldestKernel = [3, 2] as const;

/** File systems that stage 2 can read the payload from. */
const payloadFileSystems = new Set(['ext2', 'ext3', 'ext4', 'xfs']);

/** A path on a plain partition, as stage 2 will find it again. */
export interface PlacedPath extends Place {
  readonly mount: Mount;
  readonly disk: Disk;
  readonly partition: DiskPartition;
  readonly uuid: string;
  /** The path from the root of its file system. */
  readonly pathInFileSystem: string;
}

/** What stands against migrating this machine, whatever the image. */
export function checkMachine(facts: Facts, device: Device | undefined): readonly Finding[] {
  return [
    ...checkPrivileges(facts),
    ...checkDevice(facts, device),
    ...checkKernelAge(facts),
    ...checkOperatingSystem(facts),
    ...checkFirmware(facts),
    ...checkModules(facts),
    ...(device === undefined ? [] : checkBootManager(facts, device, bootManagerOf(device, facts))),
  ];
}

function checkPrivileges(facts: Facts): Finding[] {
  const findings: Finding[] = [];
  if (facts.userId !== 0) {
    findings.push(
      error('not-root', `user ${facts.userId}`, 'disks can only be read by root', 'Run the command with sudo'),
    );
  }
  if (facts.inContainer) {
    findings.push(
      error(
        'in-container',
        facts.hostname,
        'this is a container, not the machine itself',
        'Run the command on the host',
      ),
    );
  }
  return findings;
}

function checkDevice(facts: Facts, device: Device | undefined): Finding[] {
  if (device !== undefined) return [];
  const { vendor, product, deviceTreeModel } = facts.hardware;
  const name = deviceTreeModel ?? ([vendor, product].filter((part) => part !== undefined).join(' ') || 'this machine');
  return [
    error(
      'device-unknown',
      name,
      `no supported device matches (kernel architecture ${facts.kernel.architecture})`,
      'See the table of supported devices in the README',
    ),
  ];
}

function checkKernelAge(facts: Facts): Finding[] {
  if (!isKernelOlder(facts.kernel.release, oldestKernel)) return [];
  return [
    error(
      'kernel-too-old',
      facts.kernel.release,
      `stage 2 needs Linux ${oldestKernel.join('.')} or newer`,
      'Upgrade the kernel first',
    ),
  ];
}

function checkOperatingSystem(facts: Facts): Finding[] {
  if (isTested(facts.os)) return [];
  const tested = testedSystems.map((row) => `${row.id} ${row.versions.join(', ')}`).join('; ');
  return [
    warning(
      'os-untested',
      facts.os.prettyName,
      `it has what a migration needs, but only these were tried: ${tested}`,
      'Try it on one device that you can reach first',
    ),
  ];
}

function checkFirmware(facts: Facts): Finding[] {
  const { firmware } = facts;
  if (firmware.kind !== 'uefi') return [];
  const findings: Finding[] = [];
  if (firmware.secureBoot === true) {
    findings.push(
      error(
        'secure-boot',
        'firmware',
        'Secure Boot is on and would refuse to start balenaOS',
        'Turn Secure Boot off in the firmware setup',
      ),
    );
  }
  if (!firmware.variablesReadable) {
    findings.push(
      error(
        'uefi-variables',
        '/sys/firmware/efi/efivars',
        'the UEFI variables cannot be read, so Secure Boot and the boot entries are unknown',
        'Run mount -t efivarfs efivarfs /sys/firmware/efi/efivars',
      ),
    );
  }
  return findings;
}

function checkModules(facts: Facts): Finding[] {
  if (facts.modules.missing.length === 0) return [];
  return [
    error(
      'kernel-modules',
      `/lib/modules/${facts.kernel.release}`,
      `the kernel that stage 2 runs on lacks what it needs: ${facts.modules.missing.join(', ')}`,
      'Install the full kernel package (linux-image, linux-modules-extra) and reboot',
    ),
  ];
}

function checkBootManager(facts: Facts, device: Device, manager: BootManager | undefined): readonly Finding[] {
  if (manager !== undefined) return manager.check(facts);
  const known = device.bootManagers.map((candidate) => candidate.kind).join(', ');
  return [
    error(
      'boot-manager-unknown',
      '/boot',
      `none of the boot managers known for a ${device.name} starts this machine (${known})`,
      'Install one of them, or migrate by hand',
    ),
  ];
}

/** Finds where a place lies, or says why stage 2 could not find it again. */
export function placedPath(facts: Facts, place: Place): PlacedPath | Finding {
  const mount = mountOf(facts.mounts, place.existing);
  const found = mount === undefined ? undefined : partitionOf(facts, mount);
  if (mount === undefined || found === undefined) {
    return error(
      'payload-place',
      place.path,
      `it lies on ${mount?.source ?? 'an unknown device'} (LVM, RAID, encryption, overlay or network), which stage 2 cannot open`,
      'Use a directory on a plain ext4 or xfs partition',
    );
  }
  const uuid = found.partition.fileSystem?.uuid;
  if (!payloadFileSystems.has(mount.fileSystem) || uuid === undefined) {
    return error(
      'payload-place',
      place.path,
      `stage 2 cannot read the file system ${mount.fileSystem} of ${found.partition.path}`,
      'Use a directory on a plain ext4 or xfs partition',
    );
  }
  const twins = facts.disks.flatMap((disk) => disk.partitions).filter((other) => other.fileSystem?.uuid === uuid);
  if (twins.length > 1) {
    return error(
      'payload-place',
      place.path,
      `${twins.map((twin) => twin.path).join(' and ')} have the same file-system UUID, so stage 2 could take the wrong one`,
      'Give one of them another UUID with tune2fs -U random',
    );
  }
  const below = mount.target === '/' ? place.existing : place.existing.slice(mount.target.length);
  const pathInFileSystem = [mount.root, below, place.rest]
    .join('/')
    .replace(/\/+/g, '/')
    .replace(/(.)\/$/, '$1');
  return { ...place, mount, ...found, uuid, pathInFileSystem };
}

/** The disk to flash: the one that holds the root file system, or the one that `force_flash_device` names. */
export function targetDisk(facts: Facts, forced: string | undefined): Disk | Finding {
  if (forced !== undefined) {
    const disk = facts.disks.find((candidate) => candidate.path === forced);
    return (
      disk ??
      error(
        'target-unknown',
        'migrate.force_flash_device',
        `${forced} is not a disk of this machine (${facts.disks.map((candidate) => candidate.path).join(', ')})`,
        'Name a whole disk, or remove the setting',
      )
    );
  }
  const root = mountOf(facts.mounts, '/');
  const found = root === undefined ? undefined : partitionOf(facts, root);
  if (found === undefined) {
    return error(
      'target-unknown',
      '/',
      `the root file system lies on ${root?.source ?? 'an unknown device'} (LVM, RAID, encryption, overlay or network), so the disk to flash is not certain`,
      'Name it with migrate.force_flash_device',
    );
  }
  const boot = mountOf(facts.mounts, '/boot');
  const bootDisk = boot === undefined ? undefined : partitionOf(facts, boot)?.disk;
  if (bootDisk !== undefined && bootDisk.path !== found.disk.path) {
    return error(
      'target-ambiguous',
      '/boot',
      `/boot lies on ${bootDisk.path}, but the root file system on ${found.disk.path}`,
      'Name the disk that the firmware boots with migrate.force_flash_device',
    );
  }
  return found.disk;
}

export function error(code: string, where: string, message: string, hint: string): Finding {
  return { severity: 'error', code, where, message, hint };
}

export function warning(code: string, where: string, message: string, hint: string): Finding {
  return { severity: 'warning', code, where, message, hint };
}
