// QEMU's machine protocol, and the guest agent's, which is the same line-by-line JSON without a greeting.
import { connect, type Socket } from 'node:net';

export interface JsonChannel {
  send(command: string, args?: Record<string, unknown>, options?: { timeoutMs?: number }): Promise<unknown>;
  close(): void;
  /** Settles when the other end or this one has closed it and all that was sent before is read. */
  readonly closed: Promise<void>;
}

interface Reply {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

interface EventMessage {
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface ChannelOptions {
  readonly greets: boolean;
  readonly onEvent?: (name: string, data: Readonly<Record<string, unknown>>) => void;
}

/** Connects to a socket that may not be there yet. Commands are answered in order. */
export async function openJsonChannel(path: string, { greets, onEvent }: ChannelOptions): Promise<JsonChannel> {
  const socket = await connectWithin(path, 10_000);
  const waiting: ((reply: Reply) => void)[] = [];
  let buffered = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    buffered += text;
    for (let end = buffered.indexOf('\n'); end >= 0; end = buffered.indexOf('\n')) {
      const line = buffered.slice(0, end).replace(/^\xff/, '');
      buffered = buffered.slice(end + 1);
      const message = JSON.parse(line) as Reply & EventMessage;
      if (message.event !== undefined) onEvent?.(message.event, message.data ?? {});
      if (message.return !== undefined || message.error !== undefined) waiting.shift()?.(message);
    }
  });
  socket.on('close', () => {
    for (const settle of waiting.splice(0)) settle({ error: { desc: 'the machine is off' } });
  });
  socket.on('error', () => socket.destroy());
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const send: JsonChannel['send'] = (command, args, options = {}) =>
    new Promise((resolve, reject) => {
      const timeoutMs = options.timeoutMs ?? 30_000;
      const settle = (reply: Reply): void => {
        clearTimeout(timer);
        if (reply.error === undefined) resolve(reply.return);
        else reject(new Error(`${command}: ${reply.error.desc}`));
      };
      // An answer that comes too late must still be taken off the queue, so the waiter stays.
      const timer = setTimeout(() => reject(new Error(`${command}: no answer in ${timeoutMs} ms`)), timeoutMs);
      if (socket.destroyed) {
        settle({ error: { desc: 'the machine is off' } });
        return;
      }
      waiting.push(settle);
      socket.write(`${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }) })}\n`);
    });
  if (greets) await send('qmp_capabilities');
  return { send, close: () => socket.destroy(), closed };
}

async function connectWithin(path: string, limitMs: number): Promise<Socket> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = connect(path);
        socket.once('connect', () => resolve(socket));
        socket.once('error', reject);
      });
    } catch (thrown) {
      if (Date.now() > endMs) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
