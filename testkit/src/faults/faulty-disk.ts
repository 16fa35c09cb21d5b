// A disk that fails on command: a server of the NBD protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md,
// fixed newstyle, simple replies) over an image file, which QEMU takes for a disk. QEMU's own blkdebug cannot lie, nor heal while the
// machine runs.
import { type FileHandle, open, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';

export interface DiskFault {
  readonly on: 'read' | 'write';
  /** Requests that touch this range are concerned. */
  readonly startByte: number;
  readonly endByte: number;
  /** fail: an I/O error. lose: success is said, zeros are kept. stall: no answer ever comes. */
  readonly does: 'fail' | 'lose' | 'stall';
  /** How many requests are concerned before the disk is well again; all where it is left out. */
  readonly times?: number;
}

export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

export interface FaultyDisk {
  /** Where QEMU finds it; a raw disk. */
  readonly path: string;
  /** Adds a fault and returns how often it has struck so far. */
  add(fault: DiskFault): () => number;
  /** Ends all faults. Requests that were stalled stay so. */
  heal(): void;
  /** All ranges that were written, in their order. */
  readonly writes: readonly ByteRange[];
  close(): Promise<void>;
}

export interface FaultyDiskOptions {
  /** An image file, which is changed. */
  readonly image: string;
  /** Path for the socket. */
  readonly socket: string;
  /** At most so much is read and written; as fast as it goes where it is left out. */
  readonly bytesPerSecond?: number;
}

const requestBytes = 28;
const requestMagic = 0x25609513;
const replyMagic = 0x67446698;
const optionMagic = Buffer.from('IHAVEOPT');
const optionReplyMagic = 0x3e889045565a9n;
const option = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
const reply = { acknowledged: 1, info: 3, unsupported: 0x80000001 } as const;
const command = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
/** NBD_FLAG_HAS_FLAGS and NBD_FLAG_SEND_FLUSH. */
const transmissionFlags = 1 | 4;
const ioError = 5;
const invalid = 22;

/** Serves the image until it is closed. */
export async function serveFaultyDisk({ image, socket: path, bytesPerSecond }: FaultyDiskOptions): Promise<FaultyDisk> {
  const file = await open(image, 'r+');
  const { size } = await file.stat();
  let faults: { readonly fault: DiskFault; strikes: number }[] = [];
  const writes: ByteRange[] = [];
  const sockets = new Set<Socket>();
  const pace = createPace(bytesPerSecond);
  const strike = (on: DiskFault['on'], range: ByteRange): DiskFault['does'] | undefined => {
    const found = faults.find(
      ({ fault, strikes }) =>
        fault.on === on &&
        strikes < (fault.times ?? Number.POSITIVE_INFINITY) &&
        range.startByte < fault.endByte &&
        fault.startByte < range.endByte,
    );
    if (found !== undefined) found.strikes += 1;
    return found?.fault.does;
  };
  const answer = async ({ kind, offset, length, data }: Request): Promise<Answer> => {
    if (kind === command.flush) return { error: 0 };
    if (kind !== command.read && kind !== command.write) return { error: invalid };
    await pace(length);
    const range = { startByte: offset, endByte: offset + length };
    const does = strike(kind === command.read ? 'read' : 'write', range);
    if (does === 'stall') return 'never';
    if (does === 'fail') return { error: ioError };
    if (kind === command.read) return { error: 0, data: await readExactly(file, offset, length) };
    await file.write(does === 'lose' ? Buffer.alloc(length) : data, 0, length, offset);
    writes.push(range);
    return { error: 0 };
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    serve(socket, size, answer).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path: `nbd+unix:///?socket=${path}`,
    add: (fault) => {
      const entry = { fault, strikes: 0 };
      faults.push(entry);
      return () => entry.strikes;
    },
    heal: () => {
      faults = [];
    },
    writes,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await file.close();
      await rm(path, { force: true });
    },
  };
}

interface Request {
  readonly kind: number;
  readonly offset: number;
  readonly length: number;
  /** Of a write. */
  readonly data: Buffer;
}

type Answer = { readonly error: number; readonly data?: Buffer } | 'never';

/** Speaks with one client from the handshake to its end. */
async function serve(socket: Socket, size: number, answer: (request: Request) => Promise<Answer>): Promise<void> {
  const take = byteTaker(socket);
  // Flags: fixed newstyle, and no zeroes behind the answer to exportName.
  socket.write(Buffer.concat([Buffer.from('NBDMAGIC'), optionMagic, Buffer.from([0, 3])]));
  await take(4);
  if (!(await negotiate(socket, size, take))) return;
  for (;;) {
    const head = await take(requestBytes);
    if (head.readUInt32BE(0) !== requestMagic) throw new Error('no NBD request');
    const [kind, offset, length] = [head.readUInt16BE(6), Number(head.readBigUInt64BE(16)), head.readUInt32BE(24)];
    if (kind === command.disconnect) return;
    const data = kind === command.write ? await take(length) : Buffer.alloc(0);
    // Answers may come in any order; a request that stalls holds up no other.
    void answer({ kind, offset, length, data }).then((found) => {
      if (found === 'never' || socket.destroyed) return;
      const start = Buffer.alloc(8);
      start.writeUInt32BE(replyMagic, 0);
      start.writeUInt32BE(found.error, 4);
      socket.write(Buffer.concat([start, head.subarray(8, 16), found.data ?? Buffer.alloc(0)]));
    });
  }
}

/** The handshake's options; false where the client wants no more. */
async function negotiate(socket: Socket, size: number, take: (bytes: number) => Promise<Buffer>): Promise<boolean> {
  const exportInfo = Buffer.alloc(10);
  exportInfo.writeBigUInt64BE(BigInt(size), 0);
  exportInfo.writeUInt16BE(transmissionFlags, 8);
  for (;;) {
    const head = await take(16);
    if (!head.subarray(0, 8).equals(optionMagic)) throw new Error('no NBD option');
    const wanted = head.readUInt32BE(8);
    await take(head.readUInt32BE(12));
    const send = (type: number, data = Buffer.alloc(0)): void => {
      const start = Buffer.alloc(20);
      start.writeBigUInt64BE(optionReplyMagic, 0);
      start.writeUInt32BE(wanted, 8);
      start.writeUInt32BE(type, 12);
      start.writeUInt32BE(data.length, 16);
      socket.write(Buffer.concat([start, data]));
    };
    switch (wanted) {
      case option.exportName:
        socket.write(exportInfo);
        return true;
      case option.go:
      case option.info:
        // NBD_INFO_EXPORT is 0.
        send(reply.info, Buffer.concat([Buffer.from([0, 0]), exportInfo]));
        send(reply.acknowledged);
        if (wanted === option.go) return true;
        break;
      case option.abort:
        send(reply.acknowledged);
        return false;
      default:
        send(reply.unsupported);
    }
  }
}

/** Gives the next so many bytes of a stream; rejects where it ends before. */
function byteTaker(socket: Socket): (bytes: number) => Promise<Buffer> {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let parts: Buffer[] = [];
  let available = 0;
  return async (wanted) => {
    while (available < wanted) {
      const { value, done } = await chunks.next();
      if (done === true) throw new Error('the client has gone');
      parts.push(value);
      available += value.length;
    }
    const all = Buffer.concat(parts, available);
    parts = [all.subarray(wanted)];
    available -= wanted;
    return all.subarray(0, wanted);
  };
}

async function readExactly(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

/** Waits as long as a disk of that speed would take, for one request after the other. */
function createPace(bytesPerSecond: number | undefined): (bytes: number) => Promise<void> {
  let freeAtMs = 0;
  return async (bytes) => {
    if (bytesPerSecond === undefined) return;
    const nowMs = performance.now();
    freeAtMs = Math.max(freeAtMs, nowMs) + (bytes / bytesPerSecond) * 1000;
    const waitMs = freeAtMs - nowMs;
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
  };
}
