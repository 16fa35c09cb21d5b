// Where go-aheads come from: a file, an https address, or a variable of the device in the dashboard.
import { dirname } from 'node:path';
import { readDeviceVariable } from '../cloud/balena-api.ts';
import type { CloudAccess } from '../cloud/cloud-access.ts';
import type { AgentSource } from '../config/config.ts';
import { MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import { type Http, readBody } from '../host/http.ts';
import type { Secret } from '../secret.ts';
import { goAheadLimitBytes } from './go-ahead.ts';

export const goAheadName = 'go-ahead.json';
export const goAheadVariable = 'MIGRATE_GO_AHEAD';

export interface SourceRequest {
  readonly host: HostReader;
  readonly http: Http;
  readonly source: AgentSource;
  readonly device: string;
  /** For `url`. */
  readonly token?: Secret;
  /** For device variables. */
  readonly access?: CloudAccess;
}

/**
 * Gives a function that looks for a go-ahead: its text, or undefined where there is none, or none since the last look. It throws
 * `read-failed`, `timeout` and `unsupported` for what cannot be read or must not be trusted.
 */
export function goAheadSource(request: SourceRequest): () => Promise<string | undefined> {
  const { host, http, source, device, token, access } = request;
  switch (source.kind) {
    case 'watch':
      return () => readTrustedFile(host, source.path);
    case 'url':
      return pollUrl(http, deviceUrl(source.url, device), token);
    case 'device-variables':
      return async () => {
        if (access?.uuid === undefined)
          throw new MigrateError('unsupported', 'device variables take a config.json with uuid and deviceApiKey');
        return readDeviceVariable({ http, access }, goAheadVariable);
      };
  }
}

/** `{device}` in an address stands for the name of the device. */
export function deviceUrl(url: string, device: string): string {
  return url.replaceAll('{device}', encodeURIComponent(device));
}

/** Whoever can write the file can have the machine migrated, so nobody but root and this user may. */
async function readTrustedFile(host: HostReader, path: string): Promise<string | undefined> {
  const isDirectory = (await host.status(path))?.kind === 'directory';
  const file = isDirectory ? `${path}/${goAheadName}` : path;
  const status = await host.linkStatus(file);
  if (status === undefined) return undefined;
  if (status.kind !== 'file') throw new MigrateError('unsupported', `${file} is not a plain file`);
  for (const place of [file, dirname(file)]) {
    const { uid, mode } = (await host.status(place)) ?? { uid: -1, mode: 0 };
    if ((uid === 0 || uid === host.userId) && (mode & 0o022) === 0) continue;
    throw new MigrateError(
      'unsupported',
      `${place} can be changed by others than root, so it is not trusted: chown root ${place}; chmod go-w ${place}`,
    );
  }
  return new TextDecoder().decode(await host.readFile(file, { limitBytes: goAheadLimitBytes }));
}

/** Asks with If-None-Match, so that an answer is sent once only (RFC 9110, section 13.1.2). */
function pollUrl(http: Http, url: string, token: Secret | undefined): () => Promise<string | undefined> {
  let etag: string | undefined;
  return async () => {
    const response = await http.request({
      method: 'GET',
      url,
      headers: { accept: 'application/json', ...(etag === undefined ? {} : { 'if-none-match': etag }) },
      ...(token === undefined ? {} : { bearer: token }),
    });
    const text = new TextDecoder().decode(await readBody(response, goAheadLimitBytes));
    if ([204, 304, 404].includes(response.status)) return undefined;
    if (response.status !== 200)
      throw new MigrateError('read-failed', `${response.url} answers with status ${response.status}`);
    etag = response.headers.etag;
    return text;
  };
}
