// What stands against a kit, before anything is written: the same rules as on the device, so that nothing is left to be found there.
import { basename } from 'node:path';
import {
  type Architecture,
  deviceTypeMismatch,
  error,
  type Finding,
  type HostReader,
  MigrateError,
  parseConfigJson,
  parseConnectionFile,
  sameConnectionNames,
  textAsIs,
} from '@migrate/core';

/** A file that goes into the kit as it is. */
export interface KitFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Reads and checks config.json; its device type is given where it is sound. */
export async function readConfigJson(
  host: HostReader,
  path: string,
): Promise<{ readonly bytes: Uint8Array; readonly deviceType?: string; readonly findings: readonly Finding[] }> {
  const { bytes, findings } = await readInput(host, path, 'config-json-unreadable');
  if (findings.length > 0) return { bytes, findings };
  const parsed = parseConfigJson(textAsIs(bytes), path);
  const deviceType = parsed.configJson?.deviceType;
  return { bytes, findings: parsed.findings, ...(deviceType === undefined ? {} : { deviceType }) };
}

/** Reads and checks NetworkManager connection files; they keep their names. */
export async function readConnections(
  host: HostReader,
  paths: readonly string[],
): Promise<{ readonly connections: readonly KitFile[]; readonly findings: readonly Finding[] }> {
  const connections: KitFile[] = [];
  const findings: Finding[] = [];
  for (const path of paths) {
    const { bytes, findings: found } = await readInput(host, path, 'connection-unreadable');
    const name = basename(path);
    findings.push(...(found.length > 0 ? found : parseConnectionFile(name, textAsIs(bytes)).findings));
    connections.push({ name, bytes });
  }
  return { connections, findings: [...findings, ...sameConnectionNames(connections, '--network')] };
}

export interface DeviceTypes {
  readonly asked: string | undefined;
  readonly ofConfigJson: string | undefined;
  readonly ofImage: string | undefined;
}

/** Whether all say the same device type, and whether it is one that can be migrated; `architectures` is what it may run. */
export function checkDeviceTypes(
  { asked, ofConfigJson, ofImage }: DeviceTypes,
  supported: ReadonlyMap<string, readonly Architecture[]>,
): readonly Finding[] {
  const findings = deviceTypeMismatch(ofImage, ofConfigJson);
  for (const [what, found] of [
    ['config.json', ofConfigJson],
    ['the image', ofImage],
  ] as const) {
    if (asked === undefined || found === undefined || asked === found) continue;
    const hint = 'Correct --device-type, or download config.json and image for that device type';
    findings.push(error('device-type-asked', '--device-type', `${what} is for ${found}, not ${asked}`, hint));
  }
  const deviceType = asked ?? ofConfigJson ?? ofImage;
  if (deviceType !== undefined && !supported.has(deviceType)) {
    const known = `Supported are ${[...supported.keys()].sort().join(', ')}`;
    findings.push(error('device-type-unsupported', 'device type', `${deviceType} cannot be migrated`, known));
  }
  return findings;
}

async function readInput(
  host: HostReader,
  path: string,
  code: string,
): Promise<{ readonly bytes: Uint8Array; readonly findings: readonly Finding[] }> {
  try {
    return { bytes: await host.readFile(path), findings: [] };
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return { bytes: new Uint8Array(), findings: [error(code, path, thrown.message, 'Correct the path')] };
  }
}
