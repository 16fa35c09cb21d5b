// Variables of the firmware through Windows. What was written is read back: firmware may drop it without a word.
import { globalVariableGuid, type Host, MigrateError, variableAttributes } from '@migrate/core';
import {
  deleteFirmwareVariableScript,
  readFirmwareVariableScript,
  writeFirmwareVariableScript,
} from '../powershell/change-scripts.ts';
import { runPowerShell } from '../powershell/run-powershell.ts';

type Runner = Pick<Host, 'run'>;

const namespace = globalVariableGuid;

/** Contents of a global variable; undefined where there is none. */
export async function readVariable(host: Runner, name: string): Promise<Uint8Array | undefined> {
  const printed = await runPowerShell(host, 'read-firmware-variable', { name, namespace }, readFirmwareVariableScript);
  const { exists, hex } = (typeof printed === 'object' && printed !== null ? printed : {}) as Record<string, unknown>;
  if (exists === false) return undefined;
  if (typeof hex !== 'string' || !/^([0-9a-fA-F]{2})+$/.test(hex))
    throw new MigrateError(
      'invalid-input',
      `read-firmware-variable: PowerShell's answer for ${name} has no known form`,
    );
  return Buffer.from(hex, 'hex');
}

export async function writeVariable(host: Runner, name: string, data: Uint8Array): Promise<void> {
  const hex = Buffer.from(data).toString('hex');
  const args = { name, namespace, attributes: variableAttributes, hex };
  await runPowerShell(host, 'write-firmware-variable', args, writeFirmwareVariableScript);
  const found = await readVariable(host, name);
  if (found === undefined || Buffer.compare(found, data) !== 0)
    throw new MigrateError('verify-mismatch', `the firmware did not keep the variable ${name}`);
}

export async function deleteVariable(host: Runner, name: string): Promise<void> {
  await runPowerShell(host, 'delete-firmware-variable', { name, namespace }, deleteFirmwareVariableScript);
  if ((await readVariable(host, name)) !== undefined)
    throw new MigrateError('verify-mismatch', `the firmware did not delete the variable ${name}`);
}
