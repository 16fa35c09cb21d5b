import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createPlain } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Certificates } from './certificates.ts';

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface LocalServer {
  /** "https://localhost:PORT" */
  readonly origin: string;
  readonly port: number;
  /** What was asked, oldest first. */
  readonly requests: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers'] }[];
  /** Answers from now on. */
  handle: Handler;
  close(): Promise<void>;
}

/** A server on this machine: https with `certificates`, http without. */
export async function startServer(handle: Handler, certificates?: Certificates): Promise<LocalServer> {
  const requests: LocalServer['requests'] = [];
  const listener: Handler = (request, response) => {
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    self.handle(request, response);
  };
  const server: Server =
    certificates === undefined
      ? createPlain(listener)
      : createSecure({ key: certificates.key, cert: certificates.certificate }, listener);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const self: LocalServer = {
    origin: `${certificates === undefined ? 'http' : 'https'}://localhost:${port}`,
    port,
    requests,
    handle,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return self;
}
