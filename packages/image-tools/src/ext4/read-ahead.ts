import type { ByteReader } from '@migrate/core';

/** Longer reads gain nothing from being done early. */
const smallBytes = 64 * 1024;
const windowBytes = 128 * 1024;

interface Window {
  readonly start: number;
  readonly endByte: number;
  readonly bytes: Promise<Buffer>;
}

/**
 * Serves small reads that follow each other closely from one larger read: small files lie side by side in the order in which
 * a tree is walked, and a system call for each takes longer than copying. Reads that jump about are passed on as they are.
 */
export function readAhead(reader: ByteReader): ByteReader {
  const none: Window = { start: 0, bytes: Promise.resolve(Buffer.alloc(0)), endByte: 0 };
  let window = none;
  let previousEnd = 0;

  const load = async (start: number): Promise<Buffer> => {
    const bytes = Buffer.allocUnsafeSlow(windowBytes);
    return bytes.subarray(0, await reader.read(bytes, start));
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
        const next: Window = { start: position, bytes: load(position), endByte: position + windowBytes };
        window = next;
        // What failed may be tried again.
        next.bytes.catch(() => {
          if (window === next) window = none;
        });
      }
      const { start, bytes } = window;
      return (await bytes).copy(target, 0, position - start, end - start);
    },
    close: () => reader.close(),
  };
}
