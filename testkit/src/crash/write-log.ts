// The log of QEMU's blklogwrites: every write and flush that a disk was sent, in order. Its format is dm-log-writes'
// (Documentation/admin-guide/device-mapper/log-writes.rst of Linux). Numbers are little-endian.
import { open } from 'node:fs/promises';

export interface LoggedWrite {
  readonly kind: 'write' | 'discard' | 'flush';
  readonly startByte: number;
  readonly sizeBytes: number;
  /** Whether it was durable when it was answered, by itself. */
  readonly isForced: boolean;
  /** Where its data lie in the log. */
  readonly dataByte: number;
}

export interface WriteLog {
  readonly entries: readonly LoggedWrite[];
  /** Bytes of a write, from `fromByte` of it. */
  data(entry: LoggedWrite, fromByte: number, sizeBytes: number): Promise<Buffer>;
  close(): Promise<void>;
}

const headerBytes = 32;
const magic = 0x6a736677736872n;
const flush: LoggedWrite = { kind: 'flush', startByte: 0, sizeBytes: 0, isForced: true, dataByte: 0 };
const flags = { flush: 1, forced: 2, discard: 4 };

export interface WriteLogOptions {
  /**
   * Writes before which the guest waited until all was durable, and after. For media that are sent no flushes, as cards are, so that
   * the log has none.
   */
  readonly isFlushed?: (entry: LoggedWrite) => boolean;
  /** QEMU writes a card sector by sector: those that follow each other are taken for one write of at most so many bytes, but for sector 0. */
  readonly joinedBytes?: number;
}

/** Header and data of many small writes are read at once. */
const windowBytes = 64 * 1024;

/** Opens a log that is complete: the super block counts what was there at the last flush. */
export async function openWriteLog(
  path: string,
  { isFlushed = () => false, joinedBytes = 0 }: WriteLogOptions = {},
): Promise<WriteLog> {
  const file = await open(path, 'r');
  const read = async (startByte: number, sizeBytes: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await file.read(bytes, 0, sizeBytes, startByte);
    if (bytesRead !== sizeBytes) throw new Error(`${path} ends at byte ${startByte + bytesRead}`);
    return bytes;
  };
  const window = { startByte: 0, bytes: Buffer.alloc(0) };
  const header = async (position: number): Promise<Buffer> => {
    if (position < window.startByte || position + headerBytes > window.startByte + window.bytes.length) {
      const bytes = Buffer.alloc(windowBytes);
      const { bytesRead } = await file.read(bytes, 0, windowBytes, position);
      if (bytesRead < headerBytes) throw new Error(`${path} ends at byte ${position + bytesRead}`);
      Object.assign(window, { startByte: position, bytes: bytes.subarray(0, bytesRead) });
    }
    return window.bytes.subarray(position - window.startByte);
  };
  const entries: LoggedWrite[] = [];
  /** The writes of one that was joined, by that one. */
  const joined = new Map<LoggedWrite, LoggedWrite[]>();
  const add = (write: LoggedWrite): void => {
    const last = entries.at(-1);
    if (
      last?.kind === 'write' &&
      write.kind === 'write' &&
      last.startByte > 0 &&
      last.startByte + last.sizeBytes === write.startByte &&
      last.sizeBytes + write.sizeBytes <= joinedBytes
    ) {
      const both = { ...last, sizeBytes: last.sizeBytes + write.sizeBytes };
      const parts = joined.get(last) ?? [last];
      parts.push(write);
      joined.delete(last);
      joined.set(both, parts);
      entries[entries.length - 1] = both;
    } else entries.push(write);
  };
  if ((await file.stat()).size > 0) {
    const head = await read(0, 32);
    if (head.readBigUInt64LE(0) !== magic) throw new Error(`${path} is no log of writes`);
    const [count, sectorBytes] = [Number(head.readBigUInt64LE(16)), head.readUInt32LE(24)];
    let position = sectorBytes;
    for (let index = 0; index < count; index += 1) {
      const entry = await header(position);
      position += sectorBytes;
      const [sector, sectors, bits] = [0, 8, 16].map((offset) => Number(entry.readBigUInt64LE(offset)));
      const [startByte, sizeBytes] = [(sector ?? 0) * sectorBytes, (sectors ?? 0) * sectorBytes];
      const isDiscard = ((bits ?? 0) & flags.discard) !== 0;
      const isFlush = ((bits ?? 0) & flags.flush) !== 0;
      // A flush comes before the data of the same request.
      if (isFlush) entries.push(flush);
      if (sizeBytes === 0) continue;
      const isForced = ((bits ?? 0) & flags.forced) !== 0;
      add({ kind: isDiscard ? 'discard' : 'write', startByte, sizeBytes, isForced, dataByte: position });
      if (!isDiscard) position += sizeBytes;
    }
  }
  const dataOf = async (entry: LoggedWrite, fromByte: number, sizeBytes: number): Promise<Buffer> => {
    const parts = joined.get(entry);
    if (parts === undefined) return read(entry.dataByte + fromByte, sizeBytes);
    // They follow each other in the log too, with a header before each.
    const last = parts.at(-1) ?? entry;
    const logged = await read(entry.dataByte, last.dataByte + last.sizeBytes - entry.dataByte);
    const data = parts.map((part) => {
      const begins = part.dataByte - entry.dataByte;
      return logged.subarray(begins, begins + part.sizeBytes);
    });
    return Buffer.concat(data).subarray(fromByte, fromByte + sizeBytes);
  };
  return {
    entries: entries.flatMap((entry) => (isFlushed(entry) ? [flush, entry, flush] : [entry])),
    data: (entry, fromByte, sizeBytes) =>
      entry.kind === 'write' ? dataOf(entry, fromByte, sizeBytes) : Promise.resolve(Buffer.alloc(sizeBytes)),
    close: () => file.close(),
  };
}
