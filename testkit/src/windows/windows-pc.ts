// The PC that Windows is on: OVMF with the variables of a file, which it changes.
import { rm } from 'node:fs/promises';
import { execa } from 'execa';
import { type Pc, startPc } from '../pc.ts';

/** What the program in place of Windows' boot manager says. */
export const windowsUp = /FAKE-WINDOWS-UP/;

export interface WindowsPcOptions {
  /** Raw image of its disk. */
  readonly disk: string;
  /** OVMF_VARS file; it has what the firmware remembers once the machine is off. */
  readonly variables: string;
  readonly hasSecureBoot?: boolean;
}

/** Switches the machine on; disk and variables must be left alone until it is off. */
export async function startWindowsPc({ disk, variables, hasSecureBoot = false }: WindowsPcOptions): Promise<Pc> {
  const working = `${variables}.qcow2`;
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', variables, working]);
  const machine = await startPc({
    firmware: 'uefi',
    disks: [{ path: disk, format: 'raw', serial: 'WINDOWS' }],
    memoryMib: 1024,
    uefiVariables: working,
    bootsByVariables: true,
    hasSecureBoot,
  });
  const exited = machine.exited.then(async () => {
    await execa('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', working, variables]);
    await rm(working);
  });
  return {
    ...machine,
    exited,
    kill: async () => {
      await machine.kill();
      await exited;
    },
  };
}
