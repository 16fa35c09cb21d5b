import type { ByteReader } from '@migrate/core';

/** Longer reads gain nothing from being done early. */
const smallBytes = 64 * 1024;
const windowBytes = 128 * 1024;

interface Window {
  readonly start: number;
  readonly endByte: number;
  /** Undefined where they could not be read. */
  readonly bytes: Promise<Buffer | undefined>;
}

/**
 * Serves small reads that follow each other closely from one larger read: small files lie side by side in the order in which
 * a tree is walked, and a system call for each takes longer than copying. Reads that jump about are passed on as they are.
 */
export function readAhead(reader: ByteReader): ByteReader {
  let window: Window = { start: 0, bytes: Promise.resolve(undefined), endByte: 0 };
  let previousEnd = 0;

  const load = async (start: number): Promise<Buffer | undefined> => {
    const bytes = Buffer.allocUnsafeSlow(windowBytes);
    try {
      return bytes.subarray(0, await reader.read(bytes, start));
    } catch {
      return undefined;
    }
  };

  return {
    sizeBytes: reader.sizeBytes,
    read: async (target, position) => {
      const end = position + target.length;
      const isNear = position >= previousEnd - windowBytes && position <= previousEnd + windowBytes;
      previousEnd = end;
      if (target.length > smallBytes) return reader.read(target, position);
      if (position < window.start || end > window.endByte) {
        if (!isNear) return reader.read(target, position);
        window = { start: position, bytes: load(position), endByte: position + windowBytes };
      }
      const { start, bytes } = window;
      const ahead = await bytes;
      // A place that cannot be read must not hide what lies before it.
      if (ahead === undefined) return reader.read(target, position);
      const part = ahead.subarray(position - start, end - start);
      target.set(part);
      return part.length;
    },
    close: () => reader.close(),
  };
}
