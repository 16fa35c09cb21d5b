// Files that the user names, read whole.
import { basename } from 'node:path';
import { type HostReader, MigrateError } from '@migrate/core';
import { type AppsInput, type ConnectionText, parseStaticIp, staticIpConnection } from '@migrate/engine-preload';
import type { AppsOptions, InjectOptions } from './command-options.ts';

export async function readTextFile(host: HostReader, path: string): Promise<string> {
  const text = await host.readText(path);
  if (text === undefined) throw new MigrateError('invalid-input', `${path} does not exist`);
  return text;
}

/** The one file that apps.json comes from, if any is named. */
export async function readApps(host: HostReader, options: AppsOptions): Promise<AppsInput | undefined> {
  const named = [
    { kind: 'apps', path: options.apps },
    { kind: 'compose', path: options.compose },
    { kind: 'target-state', path: options.targetState },
  ] as const;
  const [first, ...others] = named.flatMap(({ kind, path }) => (path === undefined ? [] : [{ kind, path }]));
  if (first === undefined) return undefined;
  if (others.length > 0) {
    throw new MigrateError('invalid-input', 'only one of --apps, --compose and --target-state can be given');
  }
  const { appName, appUuid, appId, releaseUuid, releaseId, deviceUuid, pin, stopped } = options;
  const identity = {
    appName,
    appUuid,
    appId,
    releaseUuid,
    releaseId,
    deviceUuid,
    pinDevice: pin,
    running: stopped === true ? false : undefined,
  };
  const given = Object.fromEntries(Object.entries(identity).filter(([, value]) => value !== undefined));
  return { kind: first.kind, fileName: first.path, text: await readTextFile(host, first.path), ...given };
}

export async function readConnections(host: HostReader, options: InjectOptions): Promise<readonly ConnectionText[]> {
  const connections: ConnectionText[] = [];
  for (const path of options.network ?? []) {
    connections.push({ name: basename(path), text: await readTextFile(host, path) });
  }
  if (options.staticIp !== undefined) connections.push(staticIpConnection(parseStaticIp(options.staticIp)));
  return connections;
}
