// Disks in memory for tests: sound ones, and ones that lie or fail.
import { type ByteWriter, MigrateError } from '@migrate/core';

export interface MemoryDisk extends ByteWriter {
  readonly bytes: Uint8Array;
  /** Offsets and lengths of the writes, and flushes, in order. */
  readonly operations: string[];
}

export interface DiskFaults {
  /** Called with each write; may change what is kept, or throw. */
  readonly onWrite?: (source: Uint8Array, position: number, count: number) => Uint8Array | undefined;
}

/** A disk full of what an old system left. */
export function memoryDisk(sizeBytes: number, { onWrite }: DiskFaults = {}): MemoryDisk {
  const bytes = new Uint8Array(sizeBytes).fill(0xaa);
  const operations: string[] = [];
  let count = 0;
  return {
    bytes,
    operations,
    sizeBytes,
    read: async (target, position) => {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
    write: async (source, position) => {
      count += 1;
      operations.push(`write ${position}+${source.length}`);
      if (position + source.length > sizeBytes) throw new MigrateError('write-failed', 'beyond the end of the disk');
      bytes.set(onWrite === undefined ? source : (onWrite(source, position, count) ?? new Uint8Array()), position);
    },
    flush: async () => {
      operations.push('flush');
    },
    close: async () => {},
  };
}
