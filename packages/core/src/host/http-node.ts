// The one real Http, and all of the product that opens connections.
import { type IncomingMessage, type RequestOptions, request as requestPlain } from 'node:http';
import { request as requestSecure } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { createSecureContext, rootCertificates, type SecureContext, connect as secure } from 'node:tls';
import { MigrateError, messageOf, throwIfCancelled } from '../error.ts';
import { type Http, type HttpRequest, type HttpResponse, shownUrl } from './http.ts';
import { type Environment, proxyFor } from './proxy.ts';

export interface NodeHttpOptions {
  /** A certificate authority to trust beside the usual ones, in PEM. */
  readonly authority?: string;
  /** Where the names of proxies are looked up; the variables of this process where it is left out. */
  readonly env?: Environment;
}

const redirectLimit = 5;
const defaultTimeoutMs = 20_000;

/** Connections of the machine that this process runs on. */
export function createNodeHttp({ authority, env = process.env }: NodeHttpOptions = {}): Http {
  // Left alone without an authority of our own, as Node then also takes NODE_EXTRA_CA_CERTS.
  const trust = authority === undefined ? {} : { secureContext: trusting(authority) };
  const context: Context = { trust, env };
  return {
    request: (request) => follow(request, context),
    connect: async (host, port, timeoutMs) => {
      const deadline = startDeadline(timeoutMs, `${host}:${port}`, undefined);
      try {
        const address = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
        if (!URL.canParse(address))
          throw new MigrateError('invalid-input', `${host}:${port} is no address of a server`);
        const target = new URL(address);
        (await deadline.race((signal) => reach(target, env, signal))).destroy();
      } finally {
        deadline.end();
      }
    },
  };
}

function trusting(authority: string): SecureContext {
  try {
    return createSecureContext({ ca: [...rootCertificates, authority] });
  } catch (cause) {
    throw new MigrateError('invalid-input', 'the certificate authority to trust is not a certificate', { cause });
  }
}

interface Context {
  readonly trust: { readonly secureContext?: SecureContext };
  readonly env: Environment;
}

/** Headers that are for one server alone, however they were given. */
const ownHeaders = ['authorization', 'cookie', 'proxy-authorization'];

async function follow(request: HttpRequest, context: Context): Promise<HttpResponse> {
  if (!URL.canParse(request.url)) throw new MigrateError('invalid-input', 'this is no valid address');
  const deadline = startDeadline(request.timeoutMs ?? defaultTimeoutMs, shownUrl(request.url), request.signal);
  try {
    let url = new URL(request.url);
    const { origin } = url;
    let { method } = request;
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && request.allowsPlain === true))
      throw new MigrateError('unsupported', `${shownUrl(url)} is not an https address`);
    for (let round = 0; ; round += 1) {
      // A key is for the server that was asked and for nobody that it names.
      const { bearer, body, headers = {}, ...rest } = request;
      const isOwn = url.origin === origin;
      const hop: HttpRequest = {
        ...rest,
        method,
        headers: isOwn ? headers : withoutHeaders(headers, ownHeaders),
        ...(isOwn && bearer !== undefined ? { bearer } : {}),
        ...(method === 'GET' || body === undefined ? {} : { body }),
      };
      const message = await deadline.race((signal) => send(hop, url, { ...context, signal }));
      const { location } = message.headers;
      const status = message.statusCode ?? 0;
      const isRedirect = method === 'GET' ? [301, 302, 303, 307, 308].includes(status) : status === 303;
      if (!isRedirect || location === undefined) return responseOf(message, url, request);
      message.destroy();
      url = redirected(url, location);
      method = 'GET';
      if (round >= redirectLimit)
        throw new MigrateError('read-failed', `${shownUrl(request.url)} redirects more than ${redirectLimit} times`);
    }
  } finally {
    deadline.end();
  }
}

function withoutHeaders(headers: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase())));
}

function redirected(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href))
    throw new MigrateError('read-failed', `${shownUrl(from)} redirects to no valid address`);
  const to = new URL(location, from);
  if (to.protocol === 'https:') return to;
  throw new MigrateError('unsupported', `${shownUrl(from)} redirects to ${shownUrl(to)}, which is not https`);
}

/** One request to one server, until the head of its response. */
async function send(
  { method, headers = {}, bearer, body }: HttpRequest,
  url: URL,
  { trust, env, signal }: Context & { signal: AbortSignal },
): Promise<IncomingMessage> {
  const isSecure = url.protocol === 'https:';
  const socket = await reach(url, env, signal);
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const options: RequestOptions = {
    method,
    signal,
    headers: {
      'user-agent': 'balena-migrate',
      'accept-encoding': 'identity',
      ...headers,
      ...(bytes === undefined ? {} : { 'content-length': String(bytes.length) }),
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer.reveal()}` }),
    },
    createConnection: () =>
      isSecure
        ? secure({
            socket,
            // Names only: a server name may not be an address (RFC 6066, section 3).
            ...(/^[\d.]+$|^\[/.test(url.hostname) ? {} : { servername: url.hostname }),
            host: url.hostname.replace(/^\[|\]$/g, ''),
            ...trust,
          })
        : socket,
  };
  return new Promise((resolve, reject) => {
    const sent = (isSecure ? requestSecure : requestPlain)(url, options);
    sent.once('response', resolve);
    // The message itself is told of errors that come after its head.
    sent.on('error', (thrown) => reject(asMigrateError(thrown, shownUrl(url))));
    sent.end(bytes);
  });
}

/** A TCP connection to a server, through the proxy where the environment names one. */
async function reach(url: URL, env: Environment, signal: AbortSignal): Promise<Socket> {
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const proxy = proxyFor(url, env);
  if (proxy === undefined) return openSocket(url.hostname, port, signal);
  const proxyPort = Number(proxy.port || 80);
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const socket = await openSocket(proxy.hostname, proxyPort, signal);
  const via = `the proxy ${proxy.host}`;
  return new Promise((resolve, reject) => {
    const fail = (message: string): void => {
      socket.destroy();
      reject(new MigrateError('read-failed', `${via}: ${message}`));
    };
    const sent = requestPlain({
      method: 'CONNECT',
      path: `${url.hostname}:${port}`,
      headers: {
        host: `${url.hostname}:${port}`,
        ...(proxy.username === ''
          ? {}
          : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }),
      },
      createConnection: () => socket,
      signal,
    });
    sent.once('connect', ({ statusCode }, tunnel) => {
      if (statusCode === 200) resolve(tunnel as Socket);
      else fail(`refuses a connection to ${url.host} with status ${statusCode}`);
    });
    sent.once('response', ({ statusCode }) => fail(`answers ${statusCode} to a connection to ${url.host}`));
    sent.on('error', (thrown) => fail(messageOf(thrown)));
    sent.end();
  });
}

function openSocket(hostname: string, port: number, signal: AbortSignal): Promise<Socket> {
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, signal });
    // Also after it is connected: whoever uses it then is told by the stream above it.
    socket.on('error', (thrown) => reject(asMigrateError(thrown, `${hostname}:${port}`)));
    socket.once('connect', () => resolve(socket));
  });
}

function responseOf(message: IncomingMessage, url: URL, request: HttpRequest): HttpResponse {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return {
    status: message.statusCode ?? 0,
    headers,
    url: shownUrl(url),
    body: bodyOf(message, url, request),
    close: () => message.destroy(),
  };
}

async function* bodyOf(message: IncomingMessage, url: URL, request: HttpRequest): AsyncGenerator<Uint8Array> {
  const shown = shownUrl(url);
  const idleMs = request.idleMs ?? request.timeoutMs ?? defaultTimeoutMs;
  const cancel = (): void => void message.destroy(new MigrateError('cancelled', 'cancelled'));
  request.signal?.addEventListener('abort', cancel, { once: true });
  message.setTimeout(idleMs, () => {
    message.destroy(new MigrateError('timeout', `${shown} sent nothing for ${idleMs / 1000} seconds`));
  });
  try {
    throwIfCancelled(request.signal);
    for await (const chunk of message) yield chunk as Uint8Array;
  } catch (thrown) {
    throw asMigrateError(thrown, shown);
  } finally {
    request.signal?.removeEventListener('abort', cancel);
    message.destroy();
  }
}

interface Deadline {
  /** Runs a part of the work; throws `timeout` or `cancelled` once it is over, whatever the part does then. */
  race<T>(part: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** To be called in any case: it stops the clock. */
  end(): void;
}

/** One time limit for all parts of a request. */
function startDeadline(timeoutMs: number, what: string, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  let reason = new MigrateError('timeout', `${what} did not answer within ${timeoutMs / 1000} seconds`);
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  const cancel = (): void => {
    reason = new MigrateError('cancelled', 'cancelled');
    controller.abort();
  };
  outer?.addEventListener('abort', cancel, { once: true });
  if (outer?.aborted === true) cancel();
  return {
    race: async (part) => {
      try {
        if (controller.signal.aborted) throw reason;
        return await part(controller.signal);
      } catch (thrown) {
        throw controller.signal.aborted ? reason : thrown;
      }
    },
    end: () => {
      clearTimeout(timer);
      outer?.removeEventListener('abort', cancel);
    },
  };
}

/** Errors of sockets, TLS and the parser of HTTP, with where they happened. */
function asMigrateError(thrown: unknown, where: string): MigrateError {
  if (thrown instanceof MigrateError) return thrown;
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  const message = `${where}: ${meanings[code] ?? (messageOf(thrown) || code)}`;
  return new MigrateError('read-failed', message, { cause: thrown, data: { errno: code } });
}

const meanings: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was cut',
  ENOTFOUND: 'there is no server of this name',
  EAI_AGAIN: 'the name cannot be looked up: there is no name server, or no network',
  ENETUNREACH: 'the network cannot be reached',
  EHOSTUNREACH: 'the server cannot be reached',
  ETIMEDOUT: 'the server does not answer',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an authority that is not trusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself and not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an authority that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an authority that is not trusted',
  CERT_HAS_EXPIRED: 'its certificate has expired, or the clock of this machine is wrong',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: the clock of this machine may be wrong',
};
