// The log on its way to servers with TLS: it goes to those whose certificate is trusted, and to no others.
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer, type Server } from 'node:tls';
import { createRemoteLog, createRemoteSender, type LogRecord, parseRemoteUrl, Secret } from '@migrate/core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Certificates, makeCertificates } from './certificates.ts';

let certificates: Certificates;
let otherAuthority: string;
let received = '';
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(() => {
  certificates = makeCertificates();
  otherAuthority = makeCertificates().authority;
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  received = '';
});

const receive = (data: Buffer): void => {
  received += data.toString();
};
const credentials = () => ({ key: certificates.key, cert: certificates.certificate });

const kinds = {
  'syslog+tls': () =>
    createTlsServer(credentials(), (socket) => {
      socket.on('error', () => {});
      socket.on('data', receive);
    }),
  https: () =>
    createHttpsServer(credentials(), (request, response) => {
      request.on('data', receive);
      request.on('end', () => response.end());
    }),
};

/** Returns the port of a server on an address of this machine. */
async function listen(server: Server, address: string): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

const lines = ['first', 'zweite Zeile: ß €', 'x'.repeat(1500)];
const origin = { hostname: 'field-box', stage: 1, toolVersion: '0.1.0' } as const;

/** Sends the lines; returns how many were not taken, and what was said of that. */
async function send(url: string, authority: string | undefined, limitMs: number) {
  const address = parseRemoteUrl(new Secret(url));
  if (address === undefined) throw new Error(`${url} is no URL`);
  const troubles: string[] = [];
  const sender = createRemoteSender(address, origin, authority);
  const onTrouble = (text: string): void => void troubles.push(text);
  const log = createRemoteLog({ sender, onTrouble, gatherMs: 1, firstPauseMs: 50 });
  for (const text of lines)
    log.sink({ time: '2026-01-02T03:04:05.678Z', uptimeSeconds: 1, level: 'info', kind: 'note', text });
  return { lost: await log.close(limitMs), troubles };
}

describe.each(['syslog+tls', 'https'] as const)('a server that is reached by %s', (scheme) => {
  it('gets every line where its certificate is of the authority that is trusted', async () => {
    const port = await listen(kinds[scheme](), '127.0.0.1');
    const result = await send(`${scheme}://localhost:${port}/`, certificates.authority, 10_000);
    expect(result).toEqual({ lost: 0, troubles: [] });
    await vi.waitFor(() => expect(received).toContain(lines[2]));
    expect(scheme === 'https' ? textsOfRecords(received) : textsOfMessages(received)).toEqual(lines);
  });

  it.each([
    ['of an authority that nobody trusts', '127.0.0.1', () => undefined, /certificate/],
    ['of another authority', '127.0.0.1', () => otherAuthority, /certificate|signature/],
    ['for another name', '127.0.0.2', () => certificates.authority, /does not match certificate/],
  ])('gets nothing where its certificate is %s', async (_, address, authority, trouble) => {
    const port = await listen(kinds[scheme](), address);
    const { lost, troubles } = await send(`${scheme}://me:canary-password@${address}:${port}/`, authority(), 500);
    expect(lost).toBe(lines.length);
    expect(troubles).toEqual([expect.stringMatching(trouble)]);
    expect(troubles.join()).not.toContain('canary-password');
    expect(received).toBe('');
  });
});

function textsOfRecords(body: string): string[] {
  return body
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as LogRecord).text);
}

/** The messages of a stream with octet counting (RFC 6587, section 3.4.1), without their seven header fields. */
function textsOfMessages(stream: string): string[] {
  const texts: string[] = [];
  for (let rest = Buffer.from(stream); rest.length > 0; ) {
    const [, count = ''] = /^(\d+) /.exec(rest.toString('latin1', 0, 12)) ?? [];
    const end = count.length + 1 + Number(count);
    texts.push(rest.toString('utf8', count.length + 1, end).replace(/^(?:\S+ ){7}/, ''));
    rest = rest.subarray(end);
  }
  return texts;
}
