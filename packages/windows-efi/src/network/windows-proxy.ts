// The two proxy settings of Windows as variables that programs of Linux would have: WinINET's of the user, WinHTTP's of the machine.
import { type ProxyEnvironment, type ProxySources, Secret } from '@migrate/core';
import type { PrintedNetworks } from './read-adapters.ts';

export function proxySources({ winInet, winHttp }: PrintedNetworks): ProxySources {
  const environments: ProxyEnvironment[] = [];
  const add = (source: string, server: string | undefined, exceptions: string | undefined): void => {
    const variables = server === undefined ? undefined : variablesOf(server, exceptions);
    if (variables !== undefined && variables.size > 0) environments.push({ source, variables });
  };
  const machine = winHttp === undefined ? undefined : parseWinHttp(Buffer.from(winHttp, 'base64'));
  add("WinHTTP's settings", machine?.server, machine?.exceptions);
  if (winInet.isEnabled) add("the user's Internet settings", winInet.server, winInet.exceptions);
  const scripts =
    winInet.script === undefined ? [] : [{ source: "the user's Internet settings", what: 'the proxy script (PAC)' }];
  return { environments, apt: [], scripts, unclear: [] };
}

/** "host:port" for all, or "http=host:port;https=host:port;socks=host:port" (INTERNET_PROXY_INFO, wininet.h). */
function variablesOf(server: string, exceptions: string | undefined): Map<string, Secret> {
  const variables = new Map<string, Secret>();
  for (const part of server.split(/[;\s]+/).filter(Boolean)) {
    const [, kind, address = ''] = /^(?:(\w+)=)?(.*)$/.exec(part) ?? [];
    if (kind === undefined) {
      variables.set('http_proxy', new Secret(withScheme(address, 'http')));
      variables.set('https_proxy', new Secret(withScheme(address, 'http')));
    } else if (kind === 'http' || kind === 'https')
      variables.set(`${kind}_proxy`, new Secret(withScheme(address, 'http')));
    // Windows speaks SOCKS 4 only.
    else if (kind === 'socks') variables.set('all_proxy', new Secret(withScheme(address, 'socks4')));
  }
  const names = (exceptions ?? '').split(/[;\s]+/).filter((name) => name !== '' && name !== '<local>');
  if (names.length > 0)
    variables.set('no_proxy', new Secret(names.map((name) => name.replace(/^\*\./, '.')).join(',')));
  return variables;
}

function withScheme(address: string, scheme: string): string {
  return /^\w+:\/\//.test(address) ? address : `${scheme}://${address}`;
}

/**
 * WinHttpSettings of the registry: three numbers, the last of which has the flag 2 for a proxy (PROXY_TYPE_PROXY, wininet.h), then
 * the server and the exceptions, each behind its length.
 */
function parseWinHttp(bytes: Buffer): { server: string; exceptions: string } | undefined {
  const text = (offset: number): string | undefined => {
    if (offset + 4 > bytes.length) return undefined;
    const end = offset + 4 + bytes.readUInt32LE(offset);
    return end > bytes.length ? undefined : bytes.subarray(offset + 4, end).toString('latin1');
  };
  if (bytes.length < 16 || (bytes.readUInt32LE(8) & 2) === 0) return undefined;
  const server = text(12);
  if (server === undefined || server === '') return undefined;
  return { server, exceptions: text(16 + server.length) ?? '' };
}
