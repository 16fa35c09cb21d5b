// What a proxy's address means, and whether redsocks of balenaOS can use it.
import { isIPv4 } from 'node:net';
import { Secret } from '../secret.ts';

export interface ProxyServer {
  /** As redsocks names them (redsocks.conf.example of darkk/redsocks). */
  readonly type: 'http-connect' | 'socks4' | 'socks5';
  /** An IPv4 address or a name, lower-case. */
  readonly host: string;
  readonly port: number;
  readonly login?: Secret;
  readonly password?: Secret;
}

const typeOfScheme: Readonly<Record<string, ProxyServer['type']>> = {
  http: 'http-connect',
  socks4: 'socks4',
  socks4a: 'socks4',
  socks5: 'socks5',
  socks5h: 'socks5',
};

/**
 * Reads "http://user:password@host:port" as curl has it (curl(1), --proxy), or says why that cannot be taken over. No part of the
 * text is in the reason, for it may hold a password.
 */
export function parseProxy(text: string): ProxyServer | string {
  const parts = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:(.*)@)?(\[[^\]]*\]|[^:/@[\]]+)(?::(\d{1,5}))?\/?$/is.exec(
    text.trim(),
  );
  if (parts === null) return 'its address cannot be read';
  const [, scheme = 'http', user, rawHost = '', rawPort] = parts;
  const type = typeOfScheme[scheme.toLowerCase()];
  if (scheme.toLowerCase() === 'https') return 'redsocks of balenaOS cannot speak TLS to a proxy';
  if (type === undefined) return 'redsocks of balenaOS does not know its kind';
  const host = rawHost.toLowerCase();
  if (host.startsWith('[')) return 'redsocks of balenaOS reaches proxies by IPv4 only';
  if (!isHost(host)) return 'its address cannot be read';
  if (host === 'localhost' || /^(?:127|0)\./.test(host)) return 'it is a program of this system';
  // Programs do not agree on the port of an http proxy without one; SOCKS has 1080 (RFC 1928, section 3).
  if (rawPort === undefined && type === 'http-connect') return 'it names no port';
  const port = Number(rawPort ?? 1080);
  if (port < 1 || port > 65535) return 'its port is out of range';
  const credentials = user === undefined || user === '' ? {} : credentialsOf(user, type);
  return typeof credentials === 'string' ? credentials : { type, host, port, ...credentials };
}

/** redsocks hands it to inet_aton, which takes more than IPv4 addresses for one: "10" and "0x7f.1". */
function isHost(host: string): boolean {
  if (isIPv4(host)) return true;
  const labels = host.split('.');
  const isLabel = (label: string): boolean => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?$/.test(label);
  return host.length <= 253 && labels.every(isLabel) && !/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '');
}

function credentialsOf(user: string, type: ProxyServer['type']): Pick<ProxyServer, 'login' | 'password'> | string {
  const [rawLogin = '', ...rest] = user.split(':');
  const login = percentDecoded(rawLogin);
  const password = rest.length === 0 ? undefined : percentDecoded(rest.join(':'));
  if (login?.includes('\\') === true) return 'its login names a Windows domain, and redsocks does not know NTLM';
  if (!isPrintable(login)) return 'redsocks.conf cannot hold its login';
  // SOCKS 4 has a user only.
  if (type === 'socks4') return { login: new Secret(login) };
  if (!isPrintable(password)) return 'redsocks.conf cannot hold its password, or there is none';
  return { login: new Secret(login), password: new Secret(password) };
}

/** In the quotes of redsocks.conf; balena's supervisor, which rewrites that file, knows no escapes in it. At most 255 by RFC 1929. */
function isPrintable(text: string | undefined): text is string {
  return text !== undefined && /^[!#-[\]-~]{1,255}$/.test(text);
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
