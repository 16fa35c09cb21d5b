import type { Host } from '@migrate/core';
import {
  exportWifiProfilesScript,
  readDisksScript,
  readNetworksScript,
  readSystemScript,
} from '../powershell/read-scripts.ts';
import { runPowerShell } from '../powershell/run-powershell.ts';
import { parseDisks } from './parse-disks.ts';
import { parseSystem } from './parse-system.ts';
import type { WindowsFacts } from './windows-facts.ts';

const readScripts = {
  'read-system': readSystemScript,
  'read-disks': readDisksScript,
  'read-networks': readNetworksScript,
  'export-wifi-profiles': exportWifiProfilesScript,
} as const;

/**
 * Asks Windows; it has no way to change it. Whatever runs before a plan is carried out is typed with this instead of a Host that
 * runs programs.
 */
export type WindowsReader = (operation: keyof typeof readScripts) => Promise<unknown>;

export function createWindowsReader(host: Pick<Host, 'run'>): WindowsReader {
  return (operation) => runPowerShell(host, operation, {}, readScripts[operation]);
}

/** Takes a snapshot of a machine that runs Windows. Throws `invalid-input` where an answer has no known form. */
export async function inspectWindows(read: WindowsReader): Promise<WindowsFacts> {
  const system = parseSystem(await read('read-system'));
  return { ...system, ...parseDisks(await read('read-disks')) };
}
