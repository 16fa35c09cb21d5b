// The PC that Windows is on: OVMF with the variables of a file, which it changes.
import { type Pc, startPc } from '../pc.ts';

/** What the program in place of Windows' boot manager says. */
export const windowsUp = /FAKE-WINDOWS-UP/;

export interface WindowsPcOptions {
  /** Raw image of its disk. */
  readonly disk: string;
  /** OVMF_VARS file, named ".fd"; the machine changes it. */
  readonly variables: string;
  readonly hasSecureBoot?: boolean;
  /** Every write to the disk is logged there. */
  readonly writeLog?: string;
}

/** Switches the machine on; disk and variables must be left alone until it is off. */
export async function startWindowsPc({
  disk,
  variables,
  hasSecureBoot = false,
  writeLog,
}: WindowsPcOptions): Promise<Pc> {
  return startPc({
    firmware: 'uefi',
    disks: [{ path: disk, format: 'raw', serial: 'WINDOWS', ...(writeLog === undefined ? {} : { writeLog }) }],
    memoryMib: 1024,
    uefiVariables: variables,
    bootsByVariables: true,
    hasSecureBoot,
  });
}
