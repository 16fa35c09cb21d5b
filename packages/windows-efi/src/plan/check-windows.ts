// What stands against migrating a machine that runs Windows, whatever the image.
import { type Config, error, type Finding, warning } from '@migrate/core';
import {
  partitionTypes,
  systemPartition,
  type WindowsDisk,
  type WindowsFacts,
  windowsPartition,
} from '../facts/windows-facts.ts';
import { nameOfDisk } from './core-facts.ts';

export function checkWindows(facts: WindowsFacts, config: Config): readonly Finding[] {
  return [
    ...checkPrivileges(facts),
    ...checkMachineKind(facts),
    ...checkSecureBoot(facts),
    ...checkBitLocker(facts),
    ...checkDisks(facts),
    ...checkAutoMount(facts),
    ...checkPower(facts, config),
    warning(
      'os-emulated-only',
      facts.os.name,
      'migrations from Windows were tried in emulation only, not yet on a machine with real Windows',
      'Try it on one device that you can reach first; docs/windows.md says what to look at',
    ),
  ];
}

function checkPrivileges({ isAdministrator }: WindowsFacts): Finding[] {
  if (isAdministrator) return [];
  return [
    error(
      'not-administrator',
      'user',
      'disks and firmware are open to administrators only',
      'Open the command prompt with "Run as administrator"',
    ),
  ];
}

function checkMachineKind({ architecture, firmware }: WindowsFacts): Finding[] {
  const findings: Finding[] = [];
  if (architecture !== 'x86_64') {
    const message =
      architecture === 'i386'
        ? 'this Windows is a 32-bit one, which cannot start the programs of the bundle'
        : `there is no balenaOS for machines of this kind that run Windows (${architecture})`;
    findings.push(error('windows-architecture', 'Windows', message, 'Only 64-bit Windows on x86-64 can be migrated'));
  }
  if (firmware !== 'uefi') {
    findings.push(
      error(
        'firmware-not-uefi',
        'firmware',
        firmware === 'bios'
          ? 'Windows was started by a BIOS (or by UEFI in compatibility mode)'
          : 'it is not known how Windows was started',
        "Switch to UEFI (Microsoft's MBR2GPT converts the disk, then the firmware setup), or migrate by hand",
      ),
    );
  }
  return findings;
}

function checkSecureBoot({ firmware, secureBoot }: WindowsFacts): Finding[] {
  if (firmware !== 'uefi' || secureBoot !== true) return [];
  return [
    error(
      'secure-boot',
      'firmware',
      'Secure Boot is on and would refuse to start stage 2 and balenaOS',
      'Suspend BitLocker first where it is on, then turn Secure Boot off in the firmware setup',
    ),
  ];
}

/**
 * Where BitLocker is off or suspended, Windows may be left and found again. Data that stay encrypted are no obstacle: stage 2 reads
 * none of them.
 */
function checkBitLocker(facts: WindowsFacts): Finding[] {
  const windows = windowsPartition(facts);
  if (windows === undefined) return [];
  const where = `${facts.systemDrive} BitLocker`;
  const status = windows.partition.bitLocker;
  if (facts.bitLocker === 'unknown' && facts.isAdministrator && status === undefined) {
    return [
      error(
        'bitlocker-unknown',
        where,
        'it is not known whether BitLocker protects Windows: it could not be asked',
        'Look with "manage-bde -status", and cure what keeps WMI from answering',
      ),
    ];
  }
  if (status === undefined) return [];
  if (status.protection !== 'off') {
    const message =
      status.protection === 'on'
        ? 'BitLocker protects Windows: starting anything else makes it ask for the recovery key'
        : 'it is not known whether BitLocker protects Windows: the volume is locked';
    const hint = `Suspend it until after the migration: Suspend-BitLocker -MountPoint ${facts.systemDrive} -RebootCount 0`;
    return [error('bitlocker-on', where, message, hint)];
  }
  if (status.conversion === 'encrypting' || status.conversion === 'decrypting' || status.conversion === 'paused') {
    return [
      error(
        'bitlocker-converting',
        where,
        `BitLocker is in the middle of its work (${status.conversion}), and Windows' partition must not be resized`,
        'Wait for its end; "manage-bde -status" shows how far it is',
      ),
    ];
  }
  return [];
}

function checkDisks(facts: WindowsFacts): Finding[] {
  const windows = windowsPartition(facts);
  if (windows === undefined) {
    return [
      error(
        'windows-disk-unknown',
        facts.systemDrive,
        'the disk that Windows lies on is not known (a dynamic volume, Storage Spaces or a virtual disk)',
        'Only Windows on a basic disk can be migrated',
      ),
    ];
  }
  const { disk } = windows;
  const esp = systemPartition(facts);
  const findings = [...checkDisk(disk)];
  if (disk.table === 'gpt' && esp === undefined) {
    findings.push(
      error(
        'system-partition-unknown',
        nameOfDisk(disk),
        'it has no EFI system partition, or there are several and none says that Windows was started from it',
        'Look with "Get-Partition"; remove what belongs to no system',
      ),
    );
  }
  if (esp !== undefined && esp.disk.number !== disk.number) {
    findings.push(
      error(
        'several-disks',
        nameOfDisk(esp.disk),
        `Windows starts from ${nameOfDisk(esp.disk)}, but lies on ${nameOfDisk(disk)}`,
        'Only machines that have both on one disk can be migrated',
      ),
    );
  }
  return findings;
}

function checkAutoMount({ isAutoMountOff }: WindowsFacts): Finding[] {
  if (isAutoMountOff !== true) return [];
  return [
    error(
      'automount-off',
      'Windows',
      'new volumes are not mounted (mountvol /N), so that the partition for stage 2 could not be formatted',
      'Turn it on with "mountvol /E"; "mountvol /N" turns it off again',
    ),
  ];
}

const tableNames = {
  mbr: 'an MBR',
  none: 'no partition table',
  unknown: 'a partition table of an unknown kind',
} as const;

function checkDisk(disk: WindowsDisk): Finding[] {
  const where = nameOfDisk(disk);
  const findings: Finding[] = [];
  if (disk.table !== 'gpt') {
    const hint = "Convert it with Microsoft's MBR2GPT, which also asks for UEFI";
    findings.push(error('disk-not-gpt', where, `the disk has ${tableNames[disk.table]} instead of a GPT`, hint));
  }
  if (disk.table === 'gpt' && disk.guid === undefined)
    findings.push(
      error(
        'disk-guid-unknown',
        where,
        'Windows does not say the GUID of its table, by which stage 2 finds the disk',
        'Look at "Get-Disk | Format-List Guid", and restart Windows',
      ),
    );
  const isDynamic = disk.partitions.some(
    ({ type, mbrType }) =>
      type === partitionTypes.dynamicMetadata || type === partitionTypes.dynamicData || mbrType === 0x42,
  );
  if (isDynamic)
    findings.push(
      error(
        'disk-dynamic',
        where,
        'it is a dynamic disk (or LDM mirror), on which Windows makes no partitions',
        'Only Windows on a basic disk can be migrated',
      ),
    );
  if (disk.bus === 'Spaces' || disk.partitions.some(({ type }) => type === partitionTypes.storageSpaces))
    findings.push(
      error(
        'disk-storage-spaces',
        where,
        'it belongs to Storage Spaces, which Linux does not know',
        'Only Windows on a basic disk can be migrated',
      ),
    );
  if (disk.isOffline)
    findings.push(error('disk-offline', where, 'Windows has taken it offline', 'Run Set-Disk -IsOffline $false'));
  if (disk.bus === 'RAID')
    findings.push(
      warning(
        'disk-behind-raid',
        where,
        'its controller is in RAID mode (Intel RST), in which Linux may not see it; stage 2 then gives way to Windows',
        'If that happens, switch the controller to AHCI or NVMe in the firmware setup, Windows in safe mode at its next start',
      ),
    );
  return findings;
}

function checkPower({ hasFastStart, battery }: WindowsFacts, { migrate }: Config): Finding[] {
  const findings: Finding[] = [];
  if (battery?.isDischarging === true) {
    findings.push(
      error(
        'on-battery',
        'battery',
        `the machine runs on its battery (${battery.percent} %)`,
        'Connect the power supply',
      ),
    );
  }
  if (hasFastStart && migrate.rebootSeconds === undefined) {
    findings.push(
      warning(
        'fast-start',
        'Windows',
        'fast start is on: "Shut down" only hibernates Windows, whose disk must not be changed then',
        'Choose "Restart" (or shutdown /r), or turn it off with powercfg /h off',
      ),
    );
  }
  return findings;
}
