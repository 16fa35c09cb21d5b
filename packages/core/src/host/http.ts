// The only door to the network: requests over HTTP, and whether a TCP port answers. It stands beside Host, as what only reads a
// machine may still ask a server.
import { MigrateError } from '../error.ts';
import type { Secret } from '../secret.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  /** https only, unless `allowsPlain`. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as `Authorization: Bearer …`, to the origin of `url` and to no other that a redirect leads to. */
  readonly bearer?: Secret;
  readonly body?: string | Uint8Array;
  /** Milliseconds until the head of the response must be there, redirects included; 20 000 where it is left out. */
  readonly timeoutMs?: number;
  /** Milliseconds that the body may stand still; as `timeoutMs` where it is left out. */
  readonly idleMs?: number;
  /** Permits http in `url`, for sinks in the local network. Redirects never lead to http. */
  readonly allowsPlain?: boolean;
  /** Gives up; `cancelled` is thrown. */
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case; of a name that comes several times, the values joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** Where redirects led to, without query: those may hold signatures. */
  readonly url: string;
  /**
   * The body as it comes, without any content coding; throws `read-failed` where it ends before the length that was announced,
   * `timeout` where it stands still.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection; to be called in any case, however much of the body was read. */
  close(): void;
}

export interface Http {
  /**
   * Sends a request and follows redirects: of GET all, of other methods 303, which leads to a GET (RFC 9110, section 15.4);
   * https to https, five at most. A status of
   * any kind is a response. Throws `read-failed` where no server answers or TLS fails, `timeout`, and `unsupported` for addresses
   * and redirects that are not https.
   */
  request(request: HttpRequest): Promise<HttpResponse>;
  /** Opens a TCP connection, directly or through the proxy, and closes it; throws as request does. */
  connect(host: string, port: number, timeoutMs: number): Promise<void>;
}

/**
 * The whole body of a response, which is closed then. Throws `read-failed` beyond `limitBytes` (1 MiB where it is left out) and
 * `timeout` after `timeoutMs` (a minute), so that no server can exhaust memory or patience, however little it sends at a time.
 */
export async function readBody(
  response: HttpResponse,
  limitBytes = 1024 * 1024,
  timeoutMs = 60_000,
): Promise<Uint8Array> {
  const startMs = performance.now();
  const chunks: Uint8Array[] = [];
  let total = 0;
  try {
    for await (const chunk of response.body) {
      total += chunk.length;
      if (total > limitBytes)
        throw new MigrateError('read-failed', `${response.url} answers with more than ${limitBytes} bytes`);
      if (performance.now() - startMs > timeoutMs)
        throw new MigrateError('timeout', `${response.url} did not answer in full within ${timeoutMs / 1000} seconds`);
      chunks.push(chunk);
    }
  } finally {
    response.close();
  }
  return Buffer.concat(chunks, total);
}

/** An address as messages show it: without user, query and fragment, which may hold secrets. */
export function shownUrl(url: string | URL): string {
  const { protocol, host, pathname } = new URL(String(url));
  return `${protocol}//${host}${pathname}`;
}
