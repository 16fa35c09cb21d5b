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

const magic = 0x6a736677736872n;
const flush: LoggedWrite = { kind: 'flush', startByte: 0, sizeBytes: 0, isForced: true, dataByte: 0 };
const flags = { flush: 1, forced: 2, discard: 4 };

export interface WriteLogOptions {
  /**
   * Writes before which the guest waited until all was durable, and after. For media that are sent no flushes, as cards are, so that
   * the log has none.
   */
  readonly isFlushed?: (entry: LoggedWrite) => boolean;
}

/** Opens a log that is complete: the super block counts what was there at the last flush. */
export async function openWriteLog(path: string, { isFlushed = () => false }: WriteLogOptions = {}): Promise<WriteLog> {
  const file = await open(path, 'r');
  const read = async (startByte: number, sizeBytes: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await file.read(bytes, 0, sizeBytes, startByte);
    if (bytesRead !== sizeBytes) throw new Error(`${path} ends at byte ${startByte + bytesRead}`);
    return bytes;
  };
  const entries: LoggedWrite[] = [];
  if ((await file.stat()).size > 0) {
    const head = await read(0, 32);
    if (head.readBigUInt64LE(0) !== magic) throw new Error(`${path} is no log of writes`);
    const [count, sectorBytes] = [Number(head.readBigUInt64LE(16)), head.readUInt32LE(24)];
    let position = sectorBytes;
    for (let index = 0; index < count; index += 1) {
      const entry = await read(position, 32);
      position += sectorBytes;
      const [sector, sectors, bits] = [0, 8, 16].map((offset) => Number(entry.readBigUInt64LE(offset)));
      const [startByte, sizeBytes] = [(sector ?? 0) * sectorBytes, (sectors ?? 0) * sectorBytes];
      const isDiscard = ((bits ?? 0) & flags.discard) !== 0;
      const isFlush = ((bits ?? 0) & flags.flush) !== 0;
      // A flush comes before the data of the same request.
      if (isFlush) entries.push(flush);
      if (sizeBytes === 0) continue;
      const isForced = ((bits ?? 0) & flags.forced) !== 0;
      const kind = isDiscard ? 'discard' : 'write';
      const write: LoggedWrite = { kind, startByte, sizeBytes, isForced, dataByte: position };
      entries.push(...(isFlushed(write) ? [flush, write, flush] : [write]));
      if (!isDiscard) position += sizeBytes;
    }
  }
  return {
    entries,
    data: (entry, fromByte, sizeBytes) =>
      entry.kind === 'write' ? read(entry.dataByte + fromByte, sizeBytes) : Promise.resolve(Buffer.alloc(sizeBytes)),
    close: () => file.close(),
  };
}
