// A machine that is armed and switched off: the next start is stage 2, with a lifeboat. Made once, started as often as it takes.
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { type Pc, type PcDisk, startPc } from '../pc.ts';
import { configYaml, startRoad } from '../road/road.ts';

export interface ArmedMachine {
  readonly firmware: 'bios' | 'uefi';
  /** Its disk as stage 1 left it, raw. */
  readonly disk: string;
  /** The image that it will have. */
  readonly imageRaw: string;
  /** Copies of it, each to be switched on as often as wanted. */
  copy(): Promise<MachineCopy>;
  close(): Promise<void>;
}

export interface MachineCopy {
  readonly disk: string;
  start(more?: Partial<PcDisk>): Promise<Pc>;
  remove(): Promise<void>;
}

export interface ArmedMachineOptions {
  readonly shape: 'bios-mbr' | 'uefi';
  readonly memoryMib: number;
  /** Of incompressible bytes in the image. */
  readonly payloadMib?: number;
  /** Of what a copy's disk consists: a raw file of its own, or what differs from the armed one. */
  readonly copies: 'raw' | 'overlay';
}

export async function armMachine({
  shape,
  memoryMib,
  payloadMib = 8,
  copies,
}: ArmedMachineOptions): Promise<ArmedMachine> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-armed-'));
  const road = await startRoad({ shape, memoryMib, payloadMib });
  const armed = join(directory, 'armed.raw');
  const variables = join(directory, 'variables.fd');
  const firmware = shape === 'uefi' ? 'uefi' : 'bios';
  try {
    await road.machine.writeFile(
      `${road.workDirectory}/balena-migrate.yml`,
      configYaml({ extra: ['require_grade: A'] }),
    );
    const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect(exitCode, stdout + stderr).toBe(0);
    await road.machine.run('/sbin/poweroff', [], { timeoutMs: 5000 }).catch(() => undefined);
    await road.machine.exited;
    await execa('qemu-img', ['convert', '-O', 'raw', road.disk, armed]);
    if (firmware === 'uefi')
      await execa('qemu-img', ['convert', '-O', 'raw', join(dirname(road.disk), 'variables.qcow2'), variables]);
  } finally {
    await road.close();
  }
  return {
    firmware,
    disk: armed,
    imageRaw: road.image.raw,
    copy: async () => {
      const own = await mkdtemp(join(directory, 'copy-'));
      const disk = join(own, copies === 'raw' ? 'disk.raw' : 'disk.qcow2');
      if (copies === 'raw') await execa('cp', ['--sparse=always', armed, disk]);
      else await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', armed, '-F', 'raw', disk]);
      const ownVariables = join(own, 'variables.fd');
      if (firmware === 'uefi') await copyFile(variables, ownVariables);
      return {
        disk,
        start: (more = {}) =>
          startPc({
            firmware,
            memoryMib,
            disks: [
              {
                path: disk,
                format: copies === 'raw' ? 'raw' : 'qcow2',
                serial: 'BROWNFIELD',
                losesUnflushed: true,
                ...more,
              },
            ],
            ...(firmware === 'uefi' ? { uefiVariables: ownVariables } : {}),
          }),
        remove: () => rm(own, { recursive: true, force: true }),
      };
    },
    close: () => rm(directory, { recursive: true, force: true }),
  };
}
