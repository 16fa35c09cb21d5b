// What each operation of PowerShell does on the fake Windows, and what it prints.
import { globalVariableGuid } from '@migrate/core';
import { execa } from 'execa';
import { oldWifiProfile, wiredAdapter } from './brownfield-windows.ts';
import {
  addPartition,
  type DiskPartition,
  partitionsOf,
  putContents,
  removePartition,
  resizeEntry,
  signatureOf,
  withContents,
} from './disk-partitions.ts';
import { type FirmwareVariable, findVariable, withoutVariable, withVariable } from './ovmf-variables.ts';

/** What the operations act on. */
export interface MachineOfWindows {
  /** Raw image of disk 0. */
  readonly disk: string;
  /** How often Windows was started. */
  readonly starts: number;
  readVariables(): Promise<readonly FirmwareVariable[]>;
  writeVariables(variables: readonly FirmwareVariable[]): Promise<void>;
  /** Mounts a FAT as the volume with this path. */
  mount(volume: string, partition: DiskPartition): Promise<void>;
  isMounted(volume: string): boolean;
  unmount(volume: string): Promise<void>;
  /** Lets a mounted volume go, whatever is in it. */
  forget(volume: string): void;
}

type Operation = (machine: MachineOfWindows, args: Readonly<Record<string, unknown>>) => Promise<unknown>;

const espLetter = 'S:\\';
/** gEfiSecureBootEnableDisableGuid, edk2 SecurityPkg/SecurityPkg.dec. */
const secureBootSwitch = { name: 'SecureBootEnable', namespace: 'f0a30bc7-af08-4556-99c4-001009c93a44' };
/** Type GUIDs of partitions. */
const systemType = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';
export const basicDataType = 'ebd0a0a2-b9e5-4433-87c0-68b6b72699c7';

/** Path of the volume on a partition. */
export const volumePath = ({ guid }: Pick<DiskPartition, 'guid'>): string => `\\\\?\\Volume{${guid}}\\`;

const readSystem: Operation = async (machine) => ({
  isAdministrator: true,
  firmwareType: 2,
  secureBoot: (await isSecureBootOn(machine)) ? 1 : 0,
  architecture: 'AMD64',
  hostname: 'BROWNFIELD',
  productName: 'Windows 10 IoT Enterprise LTSC',
  displayVersion: '21H2',
  build: '19044',
  edition: 'IoTEnterpriseS',
  vendor: 'QEMU',
  product: 'Standard PC (Q35 + ICH9, 2009)',
  memoryBytes: 1024 * 1024 * 1024,
  availableMemoryBytes: 700 * 1024 * 1024,
  fastStart: 1,
  hibernation: 1,
  battery: null,
  bootCount: machine.starts,
  startedAt: new Date(Date.UTC(2026, 0, 1, machine.starts)).toISOString(),
  systemDrive: 'C:',
  programFiles: 'C:\\Program Files',
});

async function isSecureBootOn(machine: MachineOfWindows): Promise<boolean> {
  const variables = await machine.readVariables();
  const hasKeys = findVariable(variables, { name: 'PK', namespace: globalVariableGuid }) !== undefined;
  return hasKeys && findVariable(variables, secureBootSwitch)?.data[0] === 1;
}

const readDisks: Operation = async ({ disk, starts }) => {
  const { diskGuid, partitions } = await partitionsOf(disk);
  const described = [];
  for (const partition of partitions) described.push(await describePartition(disk, partition));
  return {
    bitLocker: 'absent',
    disks: [
      {
        // Windows may number its disks anew at every start.
        number: starts % 2,
        uniqueId: 'QEMU-WINDOWS',
        serialNumber: 'WINDOWS',
        model: 'QEMU HARDDISK',
        guid: `{${diskGuid}}`,
        sizeBytes: Number((await execa('stat', ['-c', '%s', disk])).stdout),
        logicalSectorBytes: 512,
        partitionStyle: 'GPT',
        busType: 'SATA',
        isBoot: true,
        isSystem: true,
        isOffline: false,
        isReadOnly: false,
        partitions: described,
      },
    ],
  };
};

async function describePartition(disk: string, partition: DiskPartition): Promise<unknown> {
  const { number, startByte, sizeBytes, typeGuid, guid } = partition;
  const fileSystem = await fileSystemOf(disk, partition);
  const path = volumePath(partition);
  const isWindows = fileSystem.label === 'Windows';
  return {
    number,
    offsetBytes: startByte,
    sizeBytes,
    gptType: `{${typeGuid}}`,
    mbrType: null,
    guid: `{${guid}}`,
    driveLetter: isWindows ? 'C' : '',
    accessPaths: fileSystem.type === '' ? [] : [...(isWindows ? ['C:\\'] : []), path],
    isBoot: isWindows,
    isSystem: typeGuid === systemType,
    volume:
      fileSystem.type === ''
        ? null
        : {
            ...{ path, fileSystem: fileSystem.type, label: fileSystem.label, sizeBytes },
            ...{ freeBytes: fileSystem.freeBytes, serial: fileSystem.serial },
          },
    bitLocker: null,
    supportedSize:
      fileSystem.type === 'NTFS' ? { minimumBytes: fileSystem.minimumBytes, maximumBytes: sizeBytes } : null,
  };
}

interface FoundFileSystem {
  readonly type: 'NTFS' | 'FAT32' | '';
  readonly label: string;
  /** Serial number as Win32_Volume has it: the lower 32 bits. */
  readonly serial: number | null;
  readonly freeBytes: number;
  /** What it could be shrunk to. */
  readonly minimumBytes: number;
}

async function fileSystemOf(disk: string, partition: DiskPartition): Promise<FoundFileSystem> {
  const { type, label, uuid } = await signatureOf(disk, partition);
  const serial = Number.parseInt(uuid.replace('-', '').slice(-8), 16);
  const { sizeBytes, startByte } = partition;
  if (type === 'vfat') {
    const freeBytes = await freeOnFat(`${disk}@@${startByte}`);
    return { type: 'FAT32', label, serial, freeBytes, minimumBytes: sizeBytes };
  }
  if (type !== 'ntfs') return { type: '', label, serial: null, freeBytes: 0, minimumBytes: sizeBytes };
  const minimumBytes = await minimumOf(disk, partition);
  return { type: 'NTFS', label, serial, freeBytes: sizeBytes - minimumBytes, minimumBytes };
}

async function freeOnFat(image: string): Promise<number> {
  const { stdout } = await execa('mdir', ['-i', image, '::']);
  return Number(/([\d ]+) bytes free/.exec(stdout)?.[1]?.replaceAll(' ', ''));
}

/** Nothing but resizing changes an NTFS here, and to find out takes seconds. */
const knownMinimums = new Map<string, Promise<number>>();

function minimumOf(disk: string, { startByte, sizeBytes }: DiskPartition): Promise<number> {
  const key = `${disk} ${startByte} ${sizeBytes}`;
  const found =
    knownMinimums.get(key) ?? withContents(disk, { startByte, sizeBytes }, { keep: false, act: smallestNtfs });
  knownMinimums.set(key, found);
  return found;
}

/** Bytes that ntfsresize could shrink a file system to. */
async function smallestNtfs(image: string): Promise<number> {
  const { stdout } = await execa('ntfsresize', ['--info', '--force', '--no-progress-bar', image]);
  const bytes = Number(/resize at (\d+) bytes/.exec(stdout)?.[1]);
  if (!Number.isSafeInteger(bytes)) throw new Error(`ntfsresize says no size: ${stdout}`);
  return bytes;
}

const resizePartition: Operation = async ({ disk }, args) => {
  const partition = await named(disk, args);
  const sizeBytes = Number(args.sizeBytes);
  if (sizeBytes !== partition.sizeBytes) {
    const shrinks = sizeBytes < partition.sizeBytes;
    const resize = (range: DiskPartition): Promise<void> =>
      withContents(disk, range, {
        keep: true,
        act: async (image) => {
          const wanted = ['--size', String(sizeBytes), '--force', '--force', '--no-progress-bar', image];
          if (!shrinks) await execa('truncate', ['-s', String(sizeBytes), image]);
          await execa('ntfsresize', wanted, { input: 'y\n' });
          if (shrinks) await execa('truncate', ['-s', String(sizeBytes), image]);
        },
      });
    if (shrinks) await resize(partition);
    await resizeEntry(disk, partition, sizeBytes);
    if (!shrinks) await resize({ ...partition, sizeBytes });
  }
  return { sizeBytes: (await named(disk, args)).sizeBytes };
};

const createPartition: Operation = async (machine, args) => {
  const { disk } = machine;
  await partitionsOfDisk(disk, args);
  const partition = await addPartition(disk, {
    startByte: Number(args.offsetBytes),
    sizeBytes: Number(args.sizeBytes),
    typeGuid: String(args.typeGuid),
  });
  const image = `${disk}.new`;
  await execa('truncate', ['-s', String(partition.sizeBytes), image]);
  await execa('mkfs.vfat', ['-F', '32', '-n', String(args.label), image]);
  await putContents(disk, partition, image);
  await execa('rm', [image]);
  const accessPath = volumePath(partition);
  await machine.mount(accessPath, partition);
  const { number, guid, startByte, sizeBytes } = partition;
  return { number, guid: `{${guid}}`, offsetBytes: startByte, sizeBytes, accessPath };
};

const removeOurPartition: Operation = async (machine, args) => {
  const partitions = await partitionsOfDisk(machine.disk, args);
  const partition = partitions.find(({ startByte }) => startByte === Number(args.offsetBytes));
  if (partition === undefined) return { removed: false };
  if (partition.sizeBytes !== Number(args.sizeBytes))
    throw new Error(`the partition at ${partition.startByte} has ${partition.sizeBytes} bytes, not ${args.sizeBytes}`);
  const { type, label } = await signatureOf(machine.disk, partition);
  if (type !== '' && label !== args.label)
    throw new Error(`the partition at ${partition.startByte} is ${label}, not ${args.label}`);
  machine.forget(volumePath(partition));
  await removePartition(machine.disk, partition);
  return { removed: true };
};

const readFirmwareVariable: Operation = async (machine, args) => {
  const named = { name: String(args.name), namespace: String(args.namespace) };
  const found = findVariable(await machine.readVariables(), named) ?? (await volatileVariable(machine, named));
  if (found === undefined) return { exists: false };
  return { exists: true, attributes: found.attributes, hex: Buffer.from(found.data).toString('hex') };
};

/** What firmware makes anew at each start and keeps nowhere (UEFI specification 2.10 section 3.3, table 3-1). */
async function volatileVariable(
  machine: MachineOfWindows,
  { name, namespace }: { name: string; namespace: string },
): Promise<Pick<FirmwareVariable, 'attributes' | 'data'> | undefined> {
  if (namespace.toLowerCase() !== globalVariableGuid) return undefined;
  if (name === 'SecureBoot') return { attributes: 6, data: Uint8Array.of((await isSecureBootOn(machine)) ? 1 : 0) };
  if (name === 'BootCurrent') return { attributes: 6, data: Uint8Array.of(0, 0) };
  return undefined;
}

const writeFirmwareVariable: Operation = async (machine, args) => {
  const variable = {
    ...{ name: String(args.name), namespace: String(args.namespace).toLowerCase() },
    ...{ attributes: Number(args.attributes), data: Buffer.from(String(args.hex), 'hex') },
  };
  await machine.writeVariables(withVariable(await machine.readVariables(), variable));
  return { written: true };
};

const deleteFirmwareVariable: Operation = async (machine, args) => {
  const named = { name: String(args.name), namespace: String(args.namespace) };
  const variables = await machine.readVariables();
  if (findVariable(variables, named) === undefined) return { deleted: false };
  await machine.writeVariables(withoutVariable(variables, named));
  return { deleted: true };
};

const mountEsp: Operation = async (machine, args) => {
  const added = !machine.isMounted(espLetter);
  const partition = await named(machine.disk, args);
  if (added) await machine.mount(espLetter, partition);
  return { path: espLetter, added };
};

const unmountEsp: Operation = async (machine, args) => {
  await named(machine.disk, args);
  if (args.added === true) await machine.unmount(String(args.path));
  return { unmounted: args.added === true };
};

export const operations: Readonly<Record<string, Operation>> = {
  'read-system': readSystem,
  'read-disks': readDisks,
  'read-networks': async () => ({
    adapters: [wiredAdapter],
    winInet: { isEnabled: false, server: null, exceptions: null, script: null },
    winHttp: null,
  }),
  'export-wifi-profiles': async () => ({ profiles: [oldWifiProfile], status: 0 }),
  'resize-partition': resizePartition,
  'create-partition': createPartition,
  'remove-partition': removeOurPartition,
  'read-firmware-variable': readFirmwareVariable,
  'write-firmware-variable': writeFirmwareVariable,
  'delete-firmware-variable': deleteFirmwareVariable,
  'mount-esp': mountEsp,
  'unmount-esp': unmountEsp,
  // The test switches the machine on: what Windows has written is on its disk by then.
  restart: async () => ({ restarting: true }),
};

/** Of the disk that an operation names. */
async function partitionsOfDisk(
  disk: string,
  args: Readonly<Record<string, unknown>>,
): Promise<readonly DiskPartition[]> {
  const { diskGuid, partitions } = await partitionsOf(disk);
  if (args.diskGuid !== diskGuid) throw new Error(`no disk has the GUID ${args.diskGuid}`);
  return partitions;
}

/** The partition that an operation names. */
async function named(disk: string, args: Readonly<Record<string, unknown>>): Promise<DiskPartition> {
  const found = (await partitionsOfDisk(disk, args)).find(({ guid }) => guid === args.guid);
  if (found === undefined) throw new Error(`the disk has no partition ${args.guid}`);
  return found;
}
