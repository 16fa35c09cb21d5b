// Windows as migrate sees it: files on volumes, and PowerShell. Its answers come from a disk image and the firmware's variables in a
// file, and what it is told to change is changed there, so that real firmware can start what was made.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Host, MigrateError, messageOf } from '@migrate/core';
import { partitionsOf, signatureOf } from './disk-partitions.ts';
import { type FatMirror, mountFat } from './fat-mirror.ts';
import { readVariables, writeVariables } from './ovmf-variables.ts';
import { powerShellCall } from './powershell-call.ts';
import type { WindowsDisk } from './windows-disk.ts';
import { basicDataType, type MachineOfWindows, operations, volumePath } from './windows-operations.ts';
import { hostWithVolumes } from './windows-paths.ts';

export interface FakeWindows {
  readonly host: Host;
  /** Names of all operations that PowerShell was asked for. */
  readonly asked: readonly string[];
  /** Shuts Windows down: everything is on the disk afterwards, and it may be used by another machine. */
  shutDown(): Promise<void>;
  /** Starts it again with what is on the disk now. */
  start(): Promise<void>;
}

export interface FakeWindowsOptions {
  /** Takes what is on its volumes. */
  readonly directory: string;
  /** Directories that migrate knows by their paths on this machine. */
  readonly own: readonly string[];
}

/** Starts Windows on a disk. */
export async function startFakeWindows(
  { disk, variables }: WindowsDisk,
  { directory, own }: FakeWindowsOptions,
): Promise<FakeWindows> {
  const systemDrive = join(directory, 'c');
  await mkdir(join(systemDrive, 'Program Files'), { recursive: true });
  const volumes = new Map<string, string>();
  const mounted = new Map<string, FatMirror>();
  const asked: string[] = [];
  let mounts = 0;
  let starts = 0;
  const machine: MachineOfWindows = {
    disk,
    get starts() {
      return starts;
    },
    readVariables: async () => readVariables(await readFile(variables)),
    writeVariables: async (list) => writeFile(variables, writeVariables(await readFile(variables), list)),
    mount: async (volume, { startByte }) => {
      mounts += 1;
      const mirror = await mountFat(disk, startByte, join(directory, `volume-${mounts}`));
      mounted.set(volume, mirror);
      volumes.set(volume, mirror.directory);
    },
    isMounted: (volume) => mounted.has(volume),
    unmount: async (volume) => {
      const mirror = mounted.get(volume);
      if (mirror === undefined) throw new Error(`${volume} is not mounted`);
      await mirror.unmount();
      mounted.delete(volume);
      volumes.delete(volume);
    },
    forget: (volume) => {
      mounted.delete(volume);
      volumes.delete(volume);
    },
  };
  const start = async (): Promise<void> => {
    starts += 1;
    volumes.set('C:\\', systemDrive);
    for (const partition of (await partitionsOf(disk)).partitions) {
      // Windows mounts a FAT as it does its own file system, under the path of its volume.
      if (partition.typeGuid === basicDataType && (await signatureOf(disk, partition)).type === 'vfat')
        await machine.mount(volumePath(partition), partition);
    }
  };
  await start();
  return {
    host: hostWithVolumes({
      volumes,
      own,
      run: async (command, args) => {
        if (command !== 'powershell.exe') throw new MigrateError('not-found', `${command} is not there on Windows`);
        const call = powerShellCall(args);
        asked.push(call.operation);
        const act = operations[call.operation];
        if (act === undefined) throw new Error(`PowerShell is asked for ${call.operation}, which is not known here`);
        try {
          return { stdout: `${JSON.stringify(await act(machine, call.arguments))}\r\n`, stderr: '' };
        } catch (thrown) {
          // As the scripts end where a command of Windows fails.
          const data = { exitStatus: 1, stderr: messageOf(thrown) };
          throw new MigrateError('command-failed', `powershell.exe: ${messageOf(thrown)}`, { data, cause: thrown });
        }
      },
    }),
    asked,
    shutDown: async () => {
      for (const volume of [...mounted.keys()]) await machine.unmount(volume);
      volumes.clear();
    },
    start,
  };
}
