// A server that answers as balena's API does, and misbehaves when it is told to.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Certificates } from './certificates.ts';
import { type LocalServer, startServer } from './local-server.ts';

/** What happens to one request of /download; then the next in the list, at last all goes well. */
export type DownloadFault =
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** One byte every few milliseconds. */
  | { readonly kind: 'trickle' }
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string }
  /** The whole file to whoever asks for a part. */
  | { readonly kind: 'ignore-range' }
  /** Announces so many bytes more than it sends. */
  | { readonly kind: 'length'; readonly moreBytes: number }
  /** From now on another file, under another ETag or the same. */
  | { readonly kind: 'change'; readonly file: Uint8Array; readonly keepsEtag?: boolean }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'garbage' };

export interface BalenaServer extends LocalServer {
  readonly faults: DownloadFault[];
  readonly versions: string[];
  contract: unknown;
  /** What /download sends, and under which ETag. */
  file: Uint8Array;
  etag: string;
  sendsDigest: boolean;
  /** Whether /download is only there for POST. */
  wantsPost: boolean;
  /** By name, of every device. */
  readonly variables: Record<string, string>;
  readonly provisioning: unknown[];
}

export const canaryKey = 'canary-api-key';

export async function startBalenaServer(certificates: Certificates, file: Uint8Array): Promise<BalenaServer> {
  const server = await startServer((request, response) => answer(self, request, response), certificates);
  const self: BalenaServer = Object.assign(server, {
    faults: [],
    versions: ['5.1.20', '5.1.20+rev1', '4.0.26'],
    contract: { data: { media: { defaultBoot: 'sdcard' } } },
    file,
    etag: '"first"',
    sendsDigest: false,
    wantsPost: false,
    variables: {},
    provisioning: [],
  });
  return self;
}

/** A config.json whose API is `server`. */
export function configJsonFor(
  { origin, port }: Pick<LocalServer, 'origin' | 'port'>,
  certificates: Certificates,
  more: object = {},
): string {
  return JSON.stringify({
    applicationName: 'fleet',
    applicationId: 1,
    deviceType: 'intel-nuc',
    apiEndpoint: origin,
    vpnEndpoint: 'localhost',
    vpnPort: port,
    apiKey: canaryKey,
    balenaRootCA: Buffer.from(certificates.authority).toString('base64'),
    ...more,
  });
}

function answer(server: BalenaServer, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '', server.origin);
  if (url.pathname === '/ping') return void response.end('OK');
  if (request.headers.authorization !== `Bearer ${canaryKey}`)
    return void response.writeHead(401).end('"Unauthorized"');
  const rows = (d: unknown[]) => response.end(JSON.stringify({ d }));
  if (url.pathname === '/actor/v1/whoami') return void response.end('{"id":1}');
  if (url.pathname === '/v6/release') return void rows(server.versions.map((version) => ({ raw_version: version })));
  if (url.pathname === '/v6/device_type') return void rows([{ contract: server.contract }]);
  if (url.pathname === '/v6/device_environment_variable') {
    const name = /name eq '(\w+)'/.exec(url.searchParams.get('$filter') ?? '')?.[1] ?? '';
    const value = server.variables[name];
    return void rows(value === undefined ? [] : [{ value }]);
  }
  if (request.method === 'PATCH') {
    request.on('data', (bytes) => server.provisioning.push(JSON.parse(String(bytes))));
    return void request.on('end', () => response.end('OK'));
  }
  if (url.pathname !== '/download' || (request.method === 'GET' && server.wantsPost))
    return void response.writeHead(404).end('"Not Found"');
  download(server, request, response);
}

function download(server: BalenaServer, request: IncomingMessage, response: ServerResponse): void {
  const fault = server.faults.shift();
  if (fault?.kind === 'status') {
    const headers = fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter };
    return void response.writeHead(fault.status, headers).end();
  }
  if (fault?.kind === 'redirect') return void response.writeHead(302, { location: fault.location }).end();
  if (fault?.kind === 'change') {
    server.file = fault.file;
    if (fault.keepsEtag !== true) server.etag = `"${createHash('md5').update(fault.file).digest('hex')}"`;
  }
  const { file, etag } = server;
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const isPart = from > 0 && fault?.kind !== 'ignore-range' && request.headers['if-range'] === etag;
  const body = fault?.kind === 'garbage' ? Buffer.alloc(file.length, 'x') : file;
  const sent = isPart ? body.subarray(from) : body;
  response.writeHead(isPart ? 206 : 200, {
    etag,
    'content-length': sent.length + (fault?.kind === 'length' ? fault.moreBytes : 0),
    ...(isPart ? { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` } : {}),
    ...(server.sendsDigest ? { 'repr-digest': `sha-256=:${createHash('sha256').update(file).digest('base64')}:` } : {}),
  });
  // Not destroyed: a reset would take back what the client has not read yet.
  const cutAfter = (bytes: number): void =>
    void response.write(sent.subarray(0, bytes), () => response.socket?.destroySoon());
  if (fault?.kind === 'cut') cutAfter(fault.afterBytes);
  else if (fault?.kind === 'length') cutAfter(sent.length + Math.min(0, fault.moreBytes));
  else if (fault?.kind === 'stall') response.write(sent.subarray(0, fault.afterBytes));
  else if (fault?.kind === 'trickle') trickle(response, sent);
  else response.end(sent);
}

function trickle(response: ServerResponse, body: Uint8Array): void {
  let at = 0;
  const timer = setInterval(() => {
    if (response.destroyed) clearInterval(timer);
    else response.write(body.subarray(at, ++at));
  }, 10);
}
