// Sends lines to one server. Each attempt has a time limit and throws where the server did not take the lines.
import { createSocket } from 'node:dgram';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, isIPv6, connect as netConnect, type Socket } from 'node:net';
import { rootCertificates, connect as tlsConnect } from 'node:tls';
import { MigrateError, messageOf } from '../error.ts';
import type { LogRecord } from './event-log.ts';
import { jsonRecord, type LogOrigin, octetCounted, syslogMessage } from './record-format.ts';
import type { RemoteAddress } from './remote-address.ts';

export interface RemoteSender {
  send(records: readonly LogRecord[], timeoutMs: number): Promise<void>;
  close(): void;
}

/** `authority`: certificates in PEM to trust beside the usual ones. */
export function createRemoteSender(address: RemoteAddress, origin: LogOrigin, authority?: string): RemoteSender {
  // Left alone without an authority of our own, as Node then also takes NODE_EXTRA_CA_CERTS.
  const trust: Trust = authority === undefined ? {} : { ca: [...rootCertificates, authority] };
  if (address.kind === 'http') return httpSender(address, origin, trust);
  return address.transport === 'udp' ? datagramSender(address, origin) : streamSender(address, origin, trust);
}

interface Trust {
  readonly ca?: string[];
}

/** One POST for each batch, as JSON lines; anything but a 2xx is a failure. Redirects are not followed. */
function httpSender(
  { url, authorization }: RemoteAddress & { kind: 'http' },
  origin: LogOrigin,
  trust: Trust,
): RemoteSender {
  const post = (body: string, signal: AbortSignal): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(
        url,
        {
          method: 'POST',
          signal,
          agent: false,
          ...trust,
          headers: {
            'content-type': 'application/x-ndjson',
            'content-length': Buffer.byteLength(body),
            'user-agent': `migrate/${origin.toolVersion}`,
            ...(authorization === undefined ? {} : { authorization: authorization.reveal() }),
          },
        },
        (response) => {
          response.resume();
          response.once('end', () => resolve(response.statusCode ?? 0));
          response.on('error', reject);
        },
      );
      // Several may come; one without a listener would end the process.
      request.on('error', reject);
      request.end(body);
    });
  return {
    send: async (records, timeoutMs) => {
      const body = records.map((record) => jsonRecord(record, origin)).join('');
      const status = await sending(() => post(body, AbortSignal.timeout(timeoutMs)));
      if (status < 200 || status > 299) throw new MigrateError('write-failed', `the log server answered ${status}`);
    },
    close: () => {},
  };
}

type SyslogAddress = RemoteAddress & { kind: 'syslog' };

/** RFC 5426: one message a datagram. That none arrives cannot be known. */
function datagramSender({ host, port }: SyslogAddress, origin: LogOrigin): RemoteSender {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  socket.unref();
  // Answers that nobody listens come here, long after the message was sent.
  socket.on('error', () => {});
  return {
    send: async (records, timeoutMs) => {
      for (const record of records) {
        const message = syslogMessage(record, origin);
        await sending(() =>
          within(
            timeoutMs,
            new Promise<void>((resolve, reject) => {
              socket.send(message, port, host, (error) => (error === null ? resolve() : reject(error)));
            }),
          ),
        );
      }
    },
    close: () => socket.close(),
  };
}

/** RFC 6587 and 5425: one connection as long as it holds. */
function streamSender({ host, port, transport }: SyslogAddress, origin: LogOrigin, trust: Trust): RemoteSender {
  let socket: Socket | undefined;
  const drop = (): void => {
    socket?.destroy();
    socket = undefined;
  };
  const connected = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      if (socket !== undefined) return resolve(socket);
      const ready = (): void => {
        socket = fresh;
        fresh.unref();
        resolve(fresh);
      };
      const fresh =
        transport === 'tls'
          ? tlsConnect({ host, port, ...trust, ...(isIP(host) === 0 ? { servername: host } : {}) }, ready)
          : netConnect({ host, port }, ready);
      fresh.on('error', (error) => {
        if (socket === fresh) socket = undefined;
        reject(error);
      });
      fresh.on('close', () => {
        if (socket === fresh) socket = undefined;
      });
      // Nothing is expected to come back, but unread bytes would keep the end from being seen.
      fresh.resume();
    });
  return {
    send: async (records, timeoutMs) => {
      const bytes = Buffer.concat(records.map((record) => octetCounted(syslogMessage(record, origin))));
      const write = async (): Promise<void> => {
        const open = await connected();
        await new Promise<void>((resolve, reject) => {
          open.write(bytes, (error) => (error === undefined || error === null ? resolve() : reject(error)));
        });
      };
      try {
        await sending(() => within(timeoutMs, write()));
      } catch (thrown) {
        drop();
        throw thrown;
      }
    },
    close: () => socket?.end(),
  };
}

async function sending<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    throw new MigrateError('write-failed', messageOf(thrown), { cause: thrown });
  }
}

async function within<T>(milliseconds: number, action: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([action, limit]);
  } finally {
    clearTimeout(timer);
  }
}
