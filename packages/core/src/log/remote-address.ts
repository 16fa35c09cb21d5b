// Where the log is sent while migrate works.
import { logServerUrl } from '../config/config-schema-values.ts';
import { Secret } from '../secret.ts';

export type RemoteAddress =
  | {
      readonly kind: 'http';
      /** Without user and password. */
      readonly url: string;
      readonly authorization?: Secret;
    }
  | {
      readonly kind: 'syslog';
      readonly transport: 'udp' | 'tcp' | 'tls';
      readonly host: string;
      readonly port: number;
    };

/** A server that the log is sent to. */
export interface LogServer {
  /** May hold user and password. */
  readonly url: Secret;
  /** Base64 of certificate authorities to trust beside the usual ones; see decodeAuthority. */
  readonly rootCa?: string;
}

/** The server in two lines, as stage 1 leaves it for stage 2. */
export function printLogServer({ url, rootCa = '' }: LogServer): Secret {
  return new Secret(`${url.reveal()}\n${rootCa}\n`);
}

/** Undefined where nothing is named. */
export function parseLogServer(text: string): LogServer | undefined {
  const [url = '', rootCa = ''] = text.split('\n');
  return url === '' ? undefined : { url: new Secret(url), ...(rootCa === '' ? {} : { rootCa }) };
}

/** Ports of RFC 5426, 6587 (as 3195 registered it) and 5425. */
const syslogPorts = { udp: 514, tcp: 601, tls: 6514 } as const;

/** Undefined for what is no such URL. Nothing of it is shown anywhere: it may hold a password. */
export function parseRemoteUrl(url: Secret): RemoteAddress | undefined {
  const text = url.reveal();
  if (!new RegExp(logServerUrl).test(text) || !URL.canParse(text)) return undefined;
  const { protocol, username, password, ...parsed } = partsOf(new URL(text));
  if (parsed.hostname === '') return undefined;
  if (protocol === 'http:' || protocol === 'https:') {
    const user = `${decode(username)}:${decode(password)}`;
    return {
      kind: 'http',
      url: `${protocol}//${parsed.host}${parsed.pathname}${parsed.search}`,
      ...(user === ':' ? {} : { authorization: new Secret(`Basic ${Buffer.from(user).toString('base64')}`) }),
    };
  }
  const transport = protocol.slice('syslog+'.length, -1) as keyof typeof syslogPorts;
  const port = parsed.port === '' ? syslogPorts[transport] : Number(parsed.port);
  return { kind: 'syslog', transport, host: parsed.hostname.replace(/^\[|\]$/g, ''), port };
}

/** For people: the server alone. */
export function describeRemote(address: RemoteAddress): string {
  if (address.kind === 'http') return new URL(address.url).host;
  return `${address.host}:${address.port} (syslog over ${address.transport.toUpperCase()})`;
}

function partsOf(url: URL) {
  const { protocol, username, password, hostname, host, port, pathname, search } = url;
  return { protocol, username, password, hostname, host, port, pathname, search };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
