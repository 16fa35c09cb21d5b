import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createNodeHttp, type HttpRequest, readBody, Secret } from '@migrate/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Certificates, makeCertificates } from './certificates.ts';
import { type Handler, type LocalServer, startServer } from './local-server.ts';

let certificates: Certificates;
const servers: LocalServer[] = [];
const start = async (handle: Handler, isSecure = true): Promise<LocalServer> => {
  const server = await startServer(handle, isSecure ? certificates : undefined);
  servers.push(server);
  return server;
};
const direct = {};
const get = (url: string, more: Partial<HttpRequest> = {}) =>
  createNodeHttp({ authority: certificates.authority, env: direct }).request({ method: 'GET', url, ...more });
const textOf = async (response: Awaited<ReturnType<typeof get>>): Promise<string> =>
  new TextDecoder().decode(await readBody(response));

beforeAll(() => {
  certificates = makeCertificates();
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => expect(servers).toEqual([]));

describe('a request', () => {
  it('trusts the authority that it is given, and no unknown one', async () => {
    const server = await start((_, response) => response.end('OK'));
    const response = await get(`${server.origin}/ping?key=canary`);
    expect(response).toMatchObject({ status: 200, url: `${server.origin}/ping` });
    expect(await textOf(response)).toBe('OK');
    await expect(createNodeHttp({ env: direct }).request({ method: 'GET', url: server.origin })).rejects.toMatchObject({
      code: 'read-failed',
      message: expect.stringContaining('authority that is not trusted'),
    });
    const other = makeCertificates();
    await expect(
      createNodeHttp({ authority: other.authority, env: direct }).request({ method: 'GET', url: server.origin }),
    ).rejects.toMatchObject({ code: 'read-failed' });
    expect(server.requests).toHaveLength(1);
  });

  it('is for https only, unless it says otherwise', async () => {
    const server = await start((_, response) => response.end('plain'), false);
    await expect(get(server.origin)).rejects.toMatchObject({ code: 'unsupported' });
    expect(await textOf(await get(server.origin, { allowsPlain: true }))).toBe('plain');
    await expect(get('file:///etc/passwd', { allowsPlain: true })).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('gives its key to the server that it asks, and to none that this one names', async () => {
    const other = await start((_, response) => response.end('from the other'));
    const first = await start((request, response) => {
      if (request.url === '/here') response.writeHead(302, { location: '/there' }).end();
      else response.writeHead(307, { location: `${other.origin}/image` }).end();
    });
    const response = await get(`${first.origin}/here`, {
      bearer: new Secret('canary-key'),
      headers: { range: 'bytes=5-', cookie: 'canary' },
    });
    expect(await textOf(response)).toBe('from the other');
    expect(first.requests.map(({ headers }) => headers.authorization)).toEqual(Array(2).fill('Bearer canary-key'));
    expect(other.requests).toMatchObject([{ headers: { range: 'bytes=5-' } }]);
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
    expect(other.requests[0]?.headers.cookie).toBeUndefined();
  });

  it('follows no redirect to http, to nowhere, or without end', async () => {
    const plain = await start((_, response) => response.end('plain'), false);
    let location = `${plain.origin}/x?secret=canary`;
    const server = await start((_, response) => response.writeHead(302, { location }).end());
    await expect(get(server.origin, { allowsPlain: true })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.not.stringContaining('canary'),
    });
    location = 'https://';
    await expect(get(server.origin)).rejects.toMatchObject({ code: 'read-failed' });
    location = '/again';
    await expect(get(server.origin)).rejects.toThrow('redirects more than 5 times');
    expect(plain.requests).toEqual([]);
    expect((await get(server.origin, { method: 'POST', body: '{}' })).status).toBe(302);
  });

  it('gives up on a server that does not answer, stands still, or cuts', async () => {
    const server = await start((request, response) => {
      if (request.url === '/silent') return;
      if (request.url === '/trickle') {
        const timer = setInterval(() => response.write('x'), 20);
        return void response.on('close', () => clearInterval(timer));
      }
      response.writeHead(200, { 'content-length': '10' });
      response.write('12345');
      if (request.url === '/cut') setTimeout(() => response.destroy(), 20);
    });
    await expect(get(`${server.origin}/silent`, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'timeout' });
    await expect(readBody(await get(`${server.origin}/still`, { idleMs: 100 }))).rejects.toMatchObject({
      code: 'timeout',
    });
    await expect(readBody(await get(`${server.origin}/cut`))).rejects.toMatchObject({ code: 'read-failed' });
    const trickling = await get(`${server.origin}/trickle`, { idleMs: 5000 });
    await expect(readBody(trickling, 1000, 200)).rejects.toMatchObject({ code: 'timeout' });
    const controller = new AbortController();
    const cancelled = readBody(await get(`${server.origin}/still`, { signal: controller.signal }));
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('takes no more of a body than it may', async () => {
    const server = await start((_, response) => response.end('x'.repeat(2000)));
    await expect(readBody(await get(server.origin), 1000)).rejects.toThrow('more than 1000 bytes');
  });

  it('says what is wrong with an address that nobody serves', async () => {
    const server = await start(() => {});
    await server.close();
    servers.pop();
    await expect(get(server.origin)).rejects.toThrow('the connection was refused');
    await expect(createNodeHttp({ env: direct }).connect('127.0.0.1', server.port, 1000)).rejects.toMatchObject({
      code: 'read-failed',
    });
  });
});

describe('a proxy of the environment', () => {
  it('is told the name only, and sees neither address nor key', async () => {
    const server = await start((_, response) => response.end('behind it'));
    const seen: string[] = [];
    const proxy = await startProxy(seen);
    try {
      const http = createNodeHttp({
        authority: certificates.authority,
        env: { https_proxy: `http://user:canary-word@127.0.0.1:${proxy.port}` },
      });
      const response = await http.request({
        method: 'GET',
        url: `${server.origin}/x`,
        bearer: new Secret('canary-key'),
      });
      expect(await textOf(response)).toBe('behind it');
      await http.connect('localhost', server.port, 1000);
      expect(seen).toEqual(Array(2).fill(`localhost:${server.port} Basic ${btoa('user:canary-word')}`));
      await expect(http.connect('refused.invalid', 1, 1000)).rejects.toMatchObject({
        message: expect.stringMatching(/^the proxy 127\.0\.0\.1:\d+: refuses a connection.*403/),
      });
    } finally {
      await proxy.close();
    }
  });
});

async function startProxy(seen: string[]): Promise<LocalServer> {
  const server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.on('connect', (request, client) => {
    const [host = '', port] = (request.url ?? '').split(':');
    if (host.endsWith('.invalid')) return void client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    seen.push(`${request.url} ${request.headers['proxy-authorization']}`);
    const upstream = connect(Number(port), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    origin: '',
    port,
    requests: [],
    handle: () => {},
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
